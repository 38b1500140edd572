"""What the parameters of a package come to, with what is set here: values, and files of them. Pure.

A temporary setting counts before one of the instance, that before one of the site, and that before
the default. A setting of which the package knows nothing is no error: it may be of an earlier
release, or of a later one that was left again.
"""

from collections.abc import Iterator, Mapping

import msgspec

from epmstore.catalog.model import Parameters, ParameterSetting
from epmstore.catalog.packaging import Package, Parameter
from epmstore.catalog.parameters import in_force
from epmstore.errors import UsageError
from epmstore.refcat.parameter_values import ParameterValue, check_value
from epmstore.refcat.rendering import check_sayable, of_file, render


class EffectiveValue(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter: the `setting` that counts (None: its default, if it has one), and the value
    (None: it has none).
    """

    parameter: Parameter
    setting: ParameterSetting | None
    value: ParameterValue | None


def effective(package: Package, said: Parameters, product: str) -> list[EffectiveValue]:
    """Of each parameter, in the order of the package."""
    now = in_force(said, product)
    return [
        EffectiveValue(
            parameter=one,
            setting=(setting := now.get(one.name)),
            value=one.default if setting is None else setting.value,
        )
        for one in package.parameters
    ]


def violations(
    package: Package, said: Parameters, product: str
) -> Iterator[tuple[ParameterSetting, str]]:
    """What is set and cannot be any more, in whichever layer, and why."""
    declared = {one.name: one for one in package.parameters}
    for setting in said.settings:
        one = declared.get(setting.name)
        if setting.product != product or one is None:
            continue
        try:
            check_settable(package, one, setting.value)
        except UsageError as error:
            yield setting, error.message


def check_settable(package: Package, one: Parameter, value: ParameterValue) -> None:
    """Raises UsageError for what a parameter cannot be, or its files cannot say."""
    check_value(one, value)
    for file in package.parameter_files:
        if one in of_file(file, package.parameters):
            check_sayable(file.format, one, value)


def unset(package: Package, said: Parameters, product: str) -> list[str]:
    """Parameters that need a value and have none."""
    return [
        each.parameter.name
        for each in effective(package, said, product)
        if each.value is None and each.parameter.least > 0
    ]


def written(package: Package, said: Parameters, product: str) -> Mapping[str, bytes]:
    """Path to content of each file that parameters are written into. Raises UsageError for a format
    that this release does not know.
    """
    values = {
        each.parameter.name: each.value
        for each in effective(package, said, product)
        if each.value is not None
    }
    return {file.path: render(file, package.parameters, values) for file in package.parameter_files}
