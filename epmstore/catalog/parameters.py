"""What the parameters of an application are set to, as its history says. Pure.

A version that changes that names all of it, as it does with what is installed: so going back to it
is going back to what was set then.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from epmstore.catalog.model import Parameters, ParameterSetting, RenderedFile
from epmstore.catalog.state import CatalogState, VersionInfo

SITE: Final = "site"
INSTANCE: Final = "instance"
TEMPORARY: Final = "temporary"
LAYERS: Final = (SITE, INSTANCE, TEMPORARY)
"""A later one counts before an earlier one."""
NOTHING_SET: Final = Parameters()


def parameters_at(state: CatalogState, version: int | None = None) -> Parameters:
    """What was set at a version; without one, what is now."""
    return parameters_by(state.versions, version)


def parameters_by(versions: Sequence[VersionInfo], version: int | None = None) -> Parameters:
    """The same, of versions in their order."""
    for one in reversed(versions):
        said = one.record.parameters
        if said is not None and (version is None or one.version <= version):
            return said
    return NOTHING_SET


def with_setting(said: Parameters, setting: ParameterSetting) -> Parameters:
    """With one more setting, in place of the one of its layer."""
    rest = without_setting(said, setting.product, setting.name, [setting.layer])
    return _with(rest, [*rest.settings, setting])


def without_setting(
    said: Parameters, product: str, name: str, layers: Iterable[str] = LAYERS
) -> Parameters:
    """Without what a parameter is set to in these layers."""
    gone = set(layers)
    return _with(
        said,
        [
            one
            for one in said.settings
            if (one.product, one.name) != (product, name) or one.layer not in gone
        ],
    )


def with_site_settings(said: Parameters, site: Iterable[ParameterSetting]) -> Parameters:
    """With what the site has, where nothing is said of it."""
    known = {(one.product, one.name) for one in said.settings if one.layer == SITE}
    for one in site:
        if one.layer == SITE and (one.product, one.name) not in known:
            said = with_setting(said, one)
    return said


def without_product(said: Parameters, product: str) -> Parameters:
    """Without all of a product."""
    files = tuple(one for one in said.files if one.product != product)
    return Parameters(tuple(one for one in said.settings if one.product != product), files)


def with_files(said: Parameters, product: str, files: Iterable[RenderedFile]) -> Parameters:
    """With these files of a product, in place of those that it had."""
    others = [one for one in said.files if one.product != product]
    ordered = sorted([*others, *files], key=lambda one: (one.product, one.path))
    return msgspec.structs.replace(said, files=tuple(ordered))


def in_force(said: Parameters, product: str) -> dict[str, ParameterSetting]:
    """The setting that counts, by the name of each parameter of a product that is set."""
    found: dict[str, ParameterSetting] = {}
    for one in said.settings:  # layers that are not known here count for nothing
        if one.product == product and one.layer in LAYERS:
            found[one.name] = one
    return found


def _with(said: Parameters, settings: Iterable[ParameterSetting]) -> Parameters:
    def place(one: ParameterSetting) -> tuple[str, str, int, str]:
        known = LAYERS.index(one.layer) if one.layer in LAYERS else -1
        return one.product, one.name, known, one.layer

    return msgspec.structs.replace(said, settings=tuple(sorted(settings, key=place)))
