"""Everything that a user of the library needs: import it from here, and only from here.

    from epmstore.api import ConflictError, Status, Workspace

What a public method takes or returns is here, and what is in that. Where else a name lives may
change with any release. No module of epmstore imports this one: a program loads what it needs.
"""

from epmstore.care.copy import CopyResult
from epmstore.care.damage import Damage, FsckReport
from epmstore.care.doctor import HealthCheck
from epmstore.care.drill import Drill
from epmstore.care.forget import Forgotten
from epmstore.care.gc import GcResult
from epmstore.care.ledger import DamageNote, DrillProof, Ledger, Rolling, TaskTimes
from epmstore.care.purge import Purged
from epmstore.care.restore import Restored
from epmstore.care.stats import Stats
from epmstore.catalog.appcat import App, RootIdentity
from epmstore.catalog.classes import Patterns
from epmstore.catalog.diff import Change
from epmstore.catalog.hooks import HookRun, Hooks
from epmstore.catalog.install_notes import NumberedNote
from epmstore.catalog.model import (
    AboutRecord,
    AcceptRecord,
    Counts,
    ForgetRecord,
    FreezeRecord,
    GapRecord,
    HoldRecord,
    Installed,
    Lasting,
    MergeRecord,
    Note,
    Parameters,
    ParameterSetting,
    PurgeRecord,
    Reason,
    RecordedActor,
    RenderedFile,
    Requirement,
    RevokeRecord,
    RootFacts,
    VersionKind,
    VersionRecord,
)
from epmstore.catalog.packaging import Parameter
from epmstore.catalog.retention import Policy
from epmstore.catalog.selector import Resolved
from epmstore.catalog.state import CatalogState, Remark, VersionInfo
from epmstore.checkout.goal import EditsGoal, Goal, ReleaseGoal, RemovalGoal, VersionGoal
from epmstore.checkout.obligations import Moment, Owed
from epmstore.checkout.plan import ConfigPolicy, Options, Plan, Seen, Step
from epmstore.checkout.request import CheckoutAction, Prepared, Rendering, Request, Supply
from epmstore.checkout.stage import Refused
from epmstore.checkout.target import ExportedTree
from epmstore.clock import Clock
from epmstore.digest import BlobInfo, Digest, Sha256, parse_digest
from epmstore.errors import (
    AppNotFoundError,
    BadCatalogError,
    BadObjectError,
    BadPackageError,
    BadSignatureError,
    BlobNotFoundError,
    BusyError,
    ChangedError,
    CollisionError,
    ConflictError,
    DamagedError,
    DigestMismatchError,
    DiskFullError,
    EpmError,
    ForeignError,
    ForkError,
    HookError,
    IncompleteError,
    InUseError,
    InvalidNameError,
    LimitError,
    NeedsError,
    NoSolutionError,
    NoStoreError,
    NotFoundError,
    NotRestorableError,
    OlderError,
    OutdatedIndexError,
    PathNotFoundError,
    RemoteBusyError,
    RemoteChangedError,
    RemoteDeniedError,
    RemoteError,
    RemoteFullError,
    RemoteHeadError,
    RemoteNotFoundError,
    RemoteReadOnlyError,
    RemoteTransientError,
    RootError,
    TornError,
    TrustError,
    UnreadableError,
    UnreadableRootError,
    UnsolvedError,
    UntrustedError,
    UsageError,
    VersionNotFoundError,
)
from epmstore.given import AnyPath, AnyPlaces, AnyVersion
from epmstore.index.entries import Span
from epmstore.package.known import InstalledProduct
from epmstore.package.patch_base import PatchBase
from epmstore.package.publish import PackageFile
from epmstore.package.queries import NeededBy, Offering, ProductHit, Why
from epmstore.package.solution import Kept, Solution, SolutionStep
from epmstore.package.universe import ProductRelease
from epmstore.progress import Progress
from epmstore.reckon import ClockDoubt, ClockReading, Reckoning
from epmstore.record.change import StartedRun
from epmstore.record.doubt import Share
from epmstore.record.recorder import Recorded
from epmstore.record.result import Action, Result
from epmstore.record.status import Status
from epmstore.record.unseen import Unseen
from epmstore.refcat.baseline import Accepted
from epmstore.refcat.blame import Blamed
from epmstore.refcat.checker import CheckedRelease
from epmstore.refcat.classify import Deviation
from epmstore.refcat.explanation import Explanation
from epmstore.refcat.founding import FoundingVersion
from epmstore.refcat.identify import Identifier, Origin
from epmstore.refcat.interchange import Incoming
from epmstore.refcat.merge_base import MergeBase
from epmstore.refcat.owners import OwnerMapping
from epmstore.refcat.releases import Release, Releases
from epmstore.refcat.requires import Unmet
from epmstore.refcat.signature import PublicKey
from epmstore.refcat.three_way import MergedText, Stretch
from epmstore.refcat.trust import Import, TrustRecord
from epmstore.refcat.verify import Verified
from epmstore.relpath import RelPath, parse_relpath
from epmstore.remotes.metered import MeteredRemote, Traffic
from epmstore.remotes.remote import Abilities, ObjectInfo, Remote
from epmstore.scan.detect import Proposal
from epmstore.scan.problem import Problem
from epmstore.store.before_rebuild import Rebuilt
from epmstore.store.seeking import CameFrom
from epmstore.sync.adopting import AdoptedApp, AdoptedHost
from epmstore.sync.connecting import RemoteLink
from epmstore.sync.heads import (
    ContentsRef,
    Head,
    HeadApp,
    ObjectRef,
    PackRef,
    RefcatRef,
    SegmentRef,
    SignedHead,
)
from epmstore.sync.judging import HeadFinding
from epmstore.sync.mirroring import MirroredHost, MirrorResult
from epmstore.sync.pulling import PulledApp, PulledHost, PullResult
from epmstore.sync.pushed_contents import OutgoingApp, OutgoingContents, SentContents
from epmstore.sync.pushing import PushedApp, PushPlan, Upload
from epmstore.sync.registry import RemoteSettings
from epmstore.tree import Entry, Kind, PathClass
from epmstore.workspace.actor import Actor
from epmstore.workspace.app.asked import Recovery, RepairAction, RepairOptions, TermsGiven
from epmstore.workspace.app.explaining import Explaining
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.app.installing import Installing, Move
from epmstore.workspace.app.marking import Marking
from epmstore.workspace.app.merging import MergeAnswer, Merging, OpenMerge
from epmstore.workspace.app.obligations import Aftermath, Obligations, Pending
from epmstore.workspace.app.parametering import (
    ParameterChange,
    Parametering,
    ParameterState,
    SetParameter,
)
from epmstore.workspace.app.reading import Reading as AppReading
from epmstore.workspace.app.recording import Recording
from epmstore.workspace.app.repairing import Repaired, Repairing
from epmstore.workspace.app.restoring import Restoring
from epmstore.workspace.app.verifying import Verifying
from epmstore.workspace.apps import AddedApp, AppliedApp, Apps
from epmstore.workspace.blobs import Blobs, BlobStat
from epmstore.workspace.care import Care
from epmstore.workspace.catalogs import Catalogs, Cloned, Imported
from epmstore.workspace.deviations import Baseline, BaselineStatus, Changed, DatedDeviation, Since
from epmstore.workspace.intended import InstallOptions, Intended, IntendedMove
from epmstore.workspace.packages import Packages
from epmstore.workspace.readreport import ReadReport
from epmstore.workspace.remotes import KnownHost, Pushed, RemoteCheck, Remotes, RemoteView
from epmstore.workspace.site_parameters import SiteParameters
from epmstore.workspace.targets import InstallTarget
from epmstore.workspace.trees import Trees, TreeSource
from epmstore.workspace.vendors import Published, Source, Vendors
from epmstore.workspace.workspace import Workspace

__all__ = [
    "Abilities",
    "AboutRecord",
    "AcceptRecord",
    "Accepted",
    "Action",
    "Actor",
    "AddedApp",
    "AdoptedApp",
    "AdoptedHost",
    "Aftermath",
    "AnyPath",
    "AnyPlaces",
    "AnyVersion",
    "App",
    "AppHandle",
    "AppNotFoundError",
    "AppReading",
    "AppliedApp",
    "Apps",
    "BadCatalogError",
    "BadObjectError",
    "BadPackageError",
    "BadSignatureError",
    "Baseline",
    "BaselineStatus",
    "Blamed",
    "BlobInfo",
    "BlobNotFoundError",
    "BlobStat",
    "Blobs",
    "BusyError",
    "CameFrom",
    "Care",
    "CatalogState",
    "Catalogs",
    "Change",
    "Changed",
    "ChangedError",
    "CheckedRelease",
    "CheckoutAction",
    "Clock",
    "ClockDoubt",
    "ClockReading",
    "Cloned",
    "CollisionError",
    "ConfigPolicy",
    "ConflictError",
    "ContentsRef",
    "CopyResult",
    "Counts",
    "Damage",
    "DamageNote",
    "DamagedError",
    "DatedDeviation",
    "Deviation",
    "Digest",
    "DigestMismatchError",
    "DiskFullError",
    "Drill",
    "DrillProof",
    "EditsGoal",
    "Entry",
    "EpmError",
    "Explaining",
    "Explanation",
    "ExportedTree",
    "ForeignError",
    "ForgetRecord",
    "Forgotten",
    "ForkError",
    "FoundingVersion",
    "FreezeRecord",
    "FsckReport",
    "GapRecord",
    "GcResult",
    "Goal",
    "Head",
    "HeadApp",
    "HeadFinding",
    "HealthCheck",
    "HoldRecord",
    "HookError",
    "HookRun",
    "Hooks",
    "Identifier",
    "Import",
    "Imported",
    "InUseError",
    "Incoming",
    "IncompleteError",
    "InstallOptions",
    "InstallTarget",
    "Installed",
    "InstalledProduct",
    "Installing",
    "Intended",
    "IntendedMove",
    "InvalidNameError",
    "Kept",
    "Kind",
    "KnownHost",
    "Lasting",
    "Ledger",
    "LimitError",
    "Marking",
    "MergeAnswer",
    "MergeBase",
    "MergeRecord",
    "MergedText",
    "Merging",
    "MeteredRemote",
    "MirrorResult",
    "MirroredHost",
    "Moment",
    "Move",
    "NeededBy",
    "NeedsError",
    "NoSolutionError",
    "NoStoreError",
    "NotFoundError",
    "NotRestorableError",
    "Note",
    "NumberedNote",
    "ObjectInfo",
    "ObjectRef",
    "Obligations",
    "Offering",
    "OlderError",
    "OpenMerge",
    "Options",
    "Origin",
    "OutdatedIndexError",
    "OutgoingApp",
    "OutgoingContents",
    "Owed",
    "OwnerMapping",
    "PackRef",
    "PackageFile",
    "Packages",
    "Parameter",
    "ParameterChange",
    "ParameterSetting",
    "ParameterState",
    "Parametering",
    "Parameters",
    "PatchBase",
    "PathClass",
    "PathNotFoundError",
    "Patterns",
    "Pending",
    "Plan",
    "Policy",
    "Prepared",
    "Problem",
    "ProductHit",
    "ProductRelease",
    "Progress",
    "Proposal",
    "PublicKey",
    "Published",
    "PullResult",
    "PulledApp",
    "PulledHost",
    "PurgeRecord",
    "Purged",
    "PushPlan",
    "Pushed",
    "PushedApp",
    "ReadReport",
    "Reason",
    "Rebuilt",
    "Reckoning",
    "Recorded",
    "RecordedActor",
    "Recording",
    "Recovery",
    "RefcatRef",
    "Refused",
    "RelPath",
    "Release",
    "ReleaseGoal",
    "Releases",
    "Remark",
    "Remote",
    "RemoteBusyError",
    "RemoteChangedError",
    "RemoteCheck",
    "RemoteDeniedError",
    "RemoteError",
    "RemoteFullError",
    "RemoteHeadError",
    "RemoteLink",
    "RemoteNotFoundError",
    "RemoteReadOnlyError",
    "RemoteSettings",
    "RemoteTransientError",
    "RemoteView",
    "Remotes",
    "RemovalGoal",
    "RenderedFile",
    "Rendering",
    "RepairAction",
    "RepairOptions",
    "Repaired",
    "Repairing",
    "Request",
    "Requirement",
    "Resolved",
    "Restored",
    "Restoring",
    "Result",
    "RevokeRecord",
    "Rolling",
    "RootError",
    "RootFacts",
    "RootIdentity",
    "Seen",
    "SegmentRef",
    "SentContents",
    "SetParameter",
    "Sha256",
    "Share",
    "SignedHead",
    "Since",
    "SiteParameters",
    "Solution",
    "SolutionStep",
    "Source",
    "Span",
    "StartedRun",
    "Stats",
    "Status",
    "Step",
    "Stretch",
    "Supply",
    "TaskTimes",
    "TermsGiven",
    "TornError",
    "Traffic",
    "TreeSource",
    "Trees",
    "TrustError",
    "TrustRecord",
    "Unmet",
    "UnreadableError",
    "UnreadableRootError",
    "Unseen",
    "UnsolvedError",
    "UntrustedError",
    "Upload",
    "UsageError",
    "Vendors",
    "Verified",
    "Verifying",
    "VersionGoal",
    "VersionInfo",
    "VersionKind",
    "VersionNotFoundError",
    "VersionRecord",
    "Why",
    "Workspace",
    "parse_digest",
    "parse_relpath",
]
