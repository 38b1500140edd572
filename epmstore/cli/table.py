"""Every command, as strings: what `epmstore --help` and completion show without importing any.

One row is a command's words, where it is implemented, and the summary line of its help (a test
compares the two). Commands appear in this order.
"""

from typing import NamedTuple


class Row(NamedTuple):
    module: str
    attribute: str
    summary: str


GROUPS = {
    "app": "The applications of this host, and the rules for their paths.",
    "change": "Record the start and the end of a change made by hand.",
    "release": "What a vendor released: reference catalogs.",
    "catalog": "Reference catalogs on the move, and whom to believe.",
    "package": "Packages: releases as files.",
    "param": "Parameters of what is installed.",
    "blob": "Single contents of the store, by SHA-1.",
    "store": "The store as a whole.",
    "remote": "Places elsewhere that keep what is recorded here.",
    "publish": "Builds on their way to a remote.",
    "config": "The settings in force.",
    "daemon": "The daemon that records by itself.",
}

SECTIONS: dict[str, dict[str, Row]] = {
    "Set up": {
        "init": Row("setup", "init", "Create a store."),
        "app add": Row("apps", "app_add", "Register the directory of an application."),
        "app list": Row("apps", "app_list", "List the applications of this store."),
        "app show": Row("apps", "app_show", "Show one application and its rules."),
        "app set": Row("apps", "app_set", "Change the rules of an application."),
        "app apply": Row("apps", "app_apply", "Register the applications that files declare."),
        "app move": Row("apps", "app_move", "Say that an application has another root now."),
        "app remove": Row("apps", "app_remove", "Stop recording an application."),
        "doctor": Row("setup", "doctor", "Check whether this host and this store are in order."),
        "completion": Row("setup", "completion", "Print the completion script for a shell."),
    },
    "Record": {
        "snapshot": Row("record", "snapshot", "Record the application as it is now."),
        "run": Row("record", "run", "Run a command and record what it changed."),
        "change begin": Row("record", "change_begin", "Record the state before a manual change."),
        "change end": Row("record", "change_end", "Record a manual change as one version."),
        "pin": Row("record", "pin", "Keep a version for good."),
        "unpin": Row("record", "unpin", "Take a pin away."),
        "tag": Row("record", "tag", "Give a version a name."),
    },
    "Look back": {
        "log": Row("history", "log", "List the recorded versions, newest first."),
        "ls": Row("history", "ls", "List the files of a version."),
        "cat": Row("history", "cat", "Print one file of a version."),
        "diff": Row("history", "diff", "Show what differs between two versions."),
        "history": Row("history", "history", "Show every state that one path ever had."),
        "find": Row("history", "find", "Find paths or a content in all versions."),
    },
    "Live root": {
        "status": Row("scan_status", "status", "Show what has changed since the last version."),
        "plan": Row("live", "plan", "Write what a checkout would do into a file."),
        "apply": Row("live", "apply", "Carry out a plan file."),
        "checkout": Row("live", "checkout", "Bring a version back."),
        "rollback": Row("live", "rollback", "Go back to the last good state."),
        "undo": Row("live", "undo", "Reverse the last operation."),
        "redo": Row("live", "redo", "Do again what was undone."),
        "recover": Row("obligations", "recover", "Finish or take back an interrupted checkout."),
        "confirm": Row("obligations", "confirm", "Keep what a checkout with --confirm has done."),
        "hold": Row("obligations", "hold", "Keep automation from changing an application."),
        "unhold": Row("obligations", "unhold", "Let automation change an application again."),
    },
    "Releases": {
        "verify": Row("verify", "verify", "Tell each file by the release it is from."),
        "accept": Row("verify", "accept", "Declare a recorded version right."),
        "repair": Row("repair", "repair", "Bring what deviates back to the release."),
        "report": Row("report", "report", "Report on an application, to pass on; or read one."),
        "identify": Row("origin", "identify", "Say who ever shipped a file, and when."),
        "blame": Row("origin", "blame", "Show who changed a path, when, and to what."),
        "catalog import": Row("catalog", "import_", "Take over what is new of a vendor's catalog."),
        "catalog verify": Row(
            "catalog", "verify", "Check a catalog file, or a package, without importing it."
        ),
        "catalog clone": Row("catalog", "clone", "Take a catalog over from another store."),
        "catalog convert": Row(
            "convert", "convert", "Read a catalog of the founding documents' forms."
        ),
        "catalog trust": Row(
            "catalog", "trust", "List the keys that vouch for catalogs, or change them."
        ),
    },
    "Products": {
        "install": Row("install", "install", "Install products, and what they need."),
        "upgrade": Row("install", "upgrade", "Upgrade what is installed."),
        "uninstall": Row("install", "uninstall", "Take away what was installed."),
        "installed": Row("products", "installed", "List what is installed."),
        "search": Row("products", "search", "Look for products that are here."),
        "why": Row("products", "why", "Say why something is installed."),
        "owner": Row(
            "products", "owner", "Say which product a path, a library or a capability is of."
        ),
        "freeze": Row("products", "freeze", "Keep a product as it is."),
        "unfreeze": Row("products", "unfreeze", "Let a product change again."),
        "notes": Row(
            "products",
            "notes",
            "List what should be known of what was done.",
        ),
        "merge": Row(
            "both_changed", "merge", "Decide about configuration that both sides changed."
        ),
        "param list": Row("param", "param_list", "List the parameters of what is installed."),
        "param get": Row("param", "param_get", "Print what a parameter is set to."),
        "param set": Row("param", "param_set", "Set a parameter of what is installed."),
        "param reset": Row("param", "param_reset", "Take away what a parameter is set to."),
        "param history": Row("param", "param_history", "Show what a parameter was ever set to."),
    },
    "Contents": {
        "blob put": Row("blob", "put", "Store a file and print its SHA-1."),
        "blob get": Row("blob", "get", "Write a stored content to a file."),
        "blob compare": Row("blob", "compare", "Compare a file with a stored content."),
        "blob stat": Row("blob", "stat", "Show how a content is stored and who needs it."),
    },
    "Store": {
        "fsck": Row("store", "fsck", "Check the store for damage."),
        "drill": Row("drill", "drill", "Prove that a version can be restored."),
        "rebuild": Row("store", "rebuild", "Make the index anew from packs and catalogs."),
        "forget": Row("store", "forget", "Let the contents of old versions go."),
        "unforget": Row("store", "unforget", "Take a forget back, before gc."),
        "purge": Row("purge", "purge", "Destroy a recorded secret, everywhere in the store."),
        "gc": Row("store", "gc", "Free the space of what no version needs."),
        "stats": Row("store", "stats", "Show how much is stored."),
        "store copy": Row("store", "copy", "Copy the store to another directory."),
        "store restore": Row("store", "restore", "Bring the store back from a copy."),
        "store adopt": Row("store", "adopt", "Take over a store from another machine."),
        "store upgrade": Row("store", "upgrade", "Bring the store to the newest format."),
        "config show": Row("config", "config_show", "Show each setting and where it comes from."),
    },
    "Remotes": {
        "remote add": Row(
            "remotes", "remote_add", "Remember a remote, and make a depot there if it is empty."
        ),
        "remote list": Row("remotes", "remote_list", "List the remotes of this store."),
        "remote show": Row("remotes", "remote_show", "Show a remote, and what is known from it."),
        "remote set": Row(
            "remotes",
            "remote_set",
            "Change how a remote is reached, or what goes there.",
        ),
        "remote check": Row("remotes", "remote_check", "Check whether a remote is what it was."),
        "remote remove": Row("remotes", "remote_remove", "Forget a remote."),
        "remote mirror": Row(
            "remotes", "remote_mirror", "Copy what all hosts have on a remote to a mirror of it."
        ),
        "push": Row("syncing", "push", "Send what was recorded here to a remote, or to all."),
        "pull": Row("syncing", "pull", "Bring what other hosts pushed from a remote, or from all."),
        "sync": Row("syncing", "sync", "Push to a remote and pull from it, or from all."),
        "fetch": Row("fetch", "fetch", "Bring contents that are not here from remotes."),
        "adopt-host": Row("adopthost", "adopt_host", "Take the place of a host that is gone."),
    },
    "Daemon": {
        "console": Row("console", "console", "Print a link into the web console."),
        "daemon status": Row("daemon", "status", "Show what the daemon knows and does."),
        "daemon watch": Row("daemon", "watch", "Show what happens, as it happens."),
        "daemon pause": Row("daemon", "pause", "Let the daemon record nothing for a while."),
        "daemon resume": Row("daemon", "resume", "Let the daemon record again."),
        "daemon jobs": Row("daemon", "jobs", "List, follow or stop the daemon's jobs."),
    },
    "For vendors": {
        "release init": Row("release", "init", "Begin the reference catalog of an application."),
        "release set": Row("release", "set_", "Add patterns to a catalog, or name it anew."),
        "release add": Row("release", "add", "Publish a release."),
        "release list": Row("release", "list_", "List catalogs, or the releases of one."),
        "release show": Row("release", "show", "Show one release."),
        "release diff": Row("release", "diff", "Show what differs between two releases."),
        "release publish": Row("publish", "publish", "Publish a candidate of a package."),
        "release relabel": Row("release", "relabel", "Put the label of a release right."),
        "release revoke": Row(
            "release", "revoke", "Withdraw a release, or one component wherever it is."
        ),
        "publish init": Row("pipeline", "publish_init", "Make a spool for builds."),
        "publish add": Row("pipeline", "publish_add", "Add a build to the pipeline."),
        "publish prepare": Row(
            "pipeline", "publish_prepare", "Make payloads of builds, and see which arrived."
        ),
        "publish upload": Row("pipeline", "publish_upload", "Send payloads to the remote."),
        "publish list": Row("pipeline", "publish_list", "List builds, with the state of each."),
        "publish show": Row("pipeline", "publish_show", "Show one build."),
        "publish log": Row("pipeline", "publish_log", "Show the transaction log."),
        "publish status": Row(
            "pipeline", "publish_status", "Say how many builds are in which state."
        ),
        "publish hold": Row("pipeline", "publish_hold", "Keep a build from being released."),
        "publish unhold": Row("pipeline", "publish_unhold", "Let a build that was held go on."),
        "publish retry": Row(
            "pipeline", "publish_retry", "Try a build in error again with the next run."
        ),
        "publish withdraw": Row(
            "pipeline", "publish_withdraw", "Take a build out of the pipeline for good."
        ),
        "catalog export": Row("catalog", "export", "Write a catalog out, to be given to others."),
        "package build": Row("package", "build", "Build a candidate of a package."),
        "package from-deb": Row(
            "making", "from_deb", "Make a candidate of a package of Debian's kind."
        ),
        "package from-release": Row(
            "making", "from_release", "Make a candidate of a release that is in the store."
        ),
        "package from-app": Row(
            "making", "from_app", "Make a candidate of what an application has."
        ),
        "package edit": Row("making", "edit", "Change what a candidate says."),
        "package show": Row(
            "package",
            "show",
            "Show what a package is.",
        ),
        "package files": Row("package", "files", "List the files of a package."),
        "package diff": Row(
            "package", "diff", "Show what differs between the files of two packages."
        ),
        "package verify": Row(
            "package",
            "verify",
            "Check a package by itself.",
        ),
        "package unpack": Row(
            "package", "unpack", "Write the files of a package into a new folder."
        ),
        "package sbom": Row("making", "sbom", "Print what is in a package, as CycloneDX."),
    },
}

EVERY_DAY = (
    *("status", "log", "diff", "snapshot", "run"),
    *("checkout", "rollback", "undo"),
    *("verify", "repair", "install", "upgrade", "doctor"),
)
"""What the first page explains; of the others it has the names."""

COMMANDS: dict[str, Row] = {words: row for rows in SECTIONS.values() for words, row in rows.items()}


def below(prefix: str) -> dict[str, str]:
    """The words that may follow `prefix` ("" is the program itself), with their summaries."""
    found: dict[str, str] = {}
    start = f"{prefix} " if prefix else ""
    for words, row in COMMANDS.items():
        if words.startswith(start):
            first, *rest = words[len(start) :].split(" ")
            found[first] = GROUPS[start + first] if rest else row.summary
    return found
