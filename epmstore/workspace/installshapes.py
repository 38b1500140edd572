"""The shapes of docs/json.md that say what is installed, and what a request to change that comes
to.
"""

from epmstore.catalog.install_notes import NumberedNote
from epmstore.errors import NoSolutionError
from epmstore.package.derive import Derivation
from epmstore.package.known import InstalledProduct
from epmstore.package.queries import NeededBy, Offering, ProductHit, Why
from epmstore.package.universe import ProductRelease
from epmstore.relpath import to_json
from epmstore.tree import Entry
from epmstore.workspace.app.merging import OpenMerge
from epmstore.workspace.app.parametering import ParameterChange, ParameterState
from epmstore.workspace.intended import Intended, IntendedMove
from epmstore.workspace.shapes import Shape, text


def maybe_release(value: ProductRelease | None) -> Shape | None:
    if value is None:
        return None
    return {
        "product": value.product,
        "uuid": value.app,
        "release": value.number,
        "version": value.version,
        "build": value.build,
        "label": text(value.label),
        "digest": value.digest,
        "revoked": text(value.revoked),
    }


def solution(value: Intended) -> Shape:
    found = value.solution
    return {
        "type": "solution",
        "app": None,
        "changed": bool(value.moves),
        "steps": [_move(one) for one in value.moves],
        "kept": [
            {"app": one.instance, "is": maybe_release(one.release), "why": one.why}
            for one in found.kept
        ],
        "unmet": list(found.unmet),
    }


def _move(value: IntendedMove) -> Shape:
    step = value.step
    return {
        "app": value.target.app.key,
        "root": text(value.target.app.root),
        "registers": value.target.is_new,
        "makes_root": value.target.makes_root,
        "action": value.move.action,
        "product": step.product,
        "from": maybe_release(step.before),
        "to": maybe_release(step.after),
        "why": list(step.why),
        "notes": [
            {"what": one.what, "path": None if one.path is None else to_json(one.path)}
            for one in (() if value.prepared is None else value.prepared.notes)
        ],
    }


def installed(value: InstalledProduct) -> Shape:
    return {
        "type": "installed",
        "app": value.app.key,
        "root": text(value.app.root),
        "is": maybe_release(value.release) or _unknown(value),
        "adopted": value.said.adopted,
        "frozen": value.frozen,
    }


def _unknown(value: InstalledProduct) -> Shape:
    """Of what the catalog is not here any more."""
    nothing = {"version": None, "build": None, "label": None, "revoked": None}
    said = value.said
    known = {"product": None, "uuid": said.product, "release": said.release}
    return {**known, **nothing, "digest": said.digest}


def installed_file(app: str, product: str, entry: Entry) -> Shape:
    return {
        "type": "installed_file",
        "app": app,
        "product": product,
        "path": to_json(entry.path),
        "kind": entry.kind,
        "class": entry.path_class,
    }


def note(app: str, value: NumberedNote) -> Shape:
    before, theirs = value.before, value.theirs
    return {
        "type": "note",
        "app": app,
        "number": value.number,
        "version": value.version.version,
        "time": value.version.record.time,
        "what": value.note.what,
        "path": None if value.note.path is None else to_json(value.note.path),
        "text": text(value.text),
        "before": None if before is None else f"{before[0]}:{to_json(before[1])}",
        "theirs": None if theirs is None else f"release:{theirs[0]}:{to_json(theirs[1])}",
        "acknowledged": value.acknowledged,
        "taken_back": value.taken_back,
    }


def open_merge(value: OpenMerge) -> Shape:
    text = value.text
    return {
        "type": "merge",
        "app": value.app,
        "path": to_json(value.path),
        "base": None if value.base is None else value.base.release,
        "release": value.release,
        "conflicts": None if text is None else text.conflicts,
        "why": value.why,
    }


def parameter(value: ParameterState) -> Shape:
    one = value.parameter
    return {
        "type": "parameter",
        "app": value.app,
        "uuid": value.product,
        "product": value.key,
        "name": one.name,
        "kind": one.type,
        "value": value.value,
        "layer": value.layer,
        "seconds": value.seconds,
        "default": one.default,
        "min": one.min,
        "max": one.max,
        "choices": list(one.choices),
        "least": one.least,
        "most": one.most,
        "section": one.section,
        "description": one.description,
        "site": one.site,
        "restart": one.restart,
        "files": list(value.files),
    }


def parameter_change(app: str, name: str, value: ParameterChange) -> Shape:
    return {
        "type": "parameter_change",
        "app": app,
        "name": name,
        "version": value.version,
        "time": value.time,
        "actor": value.actor,
        "layer": value.layer,
        "value": value.value,
    }


def why(value: Why) -> Shape:
    return {
        "type": "why",
        "app": value.instance,
        "is": maybe_release(value.release),
        "by": [_needed_by(one) for one in value.by],
    }


def _needed_by(value: NeededBy) -> Shape:
    return {
        "app": value.instance,
        "is": maybe_release(value.release),
        "how": value.how,
        "what": value.what,
        "others": list(value.others),
    }


def hit(value: ProductHit) -> Shape:
    package = value.release.package
    return {
        "type": "hit",
        "app": None,
        "is": maybe_release(value.release),
        "summary": None if package is None else package.summary or None,
        "installed": list(value.instances),
    }


def offering(value: Offering) -> Shape:
    return {
        "type": "owner",
        "app": value.instance,
        "is": maybe_release(value.release),
        "path": None,
        "version": value.version,
        "part": value.part,
        "present": value.present,
    }


def path_owner(value: InstalledProduct, path: str) -> Shape:
    return {
        "type": "owner",
        "app": value.app.key,
        "is": maybe_release(value.release),
        "path": path,
        "version": None,
        "part": None,
        "present": True,
    }


def say_derivation(error: NoSolutionError) -> None:
    """What an error carries as values, as JSON has it; for people, a line and what led to it."""
    derivation = error.data.get("derivation")
    if isinstance(derivation, Derivation):
        steps = derivation.text.splitlines()
        error.message = "what is asked for cannot be done"
        error.data["report"] = steps
        error.data["derivation"] = [
            {
                "word": one.word,
                "says": one.says,
                "kind": one.kind,
                "releases": list(one.releases),
                "there": list(one.there),
                "depth": one.depth,
            }
            for one in derivation.steps
        ]
        helps = error.data.get("helps", ())
        error.data["helps"] = [{"command": one.command, "why": one.why} for one in helps]
