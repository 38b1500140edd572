"""The public Python API: see Workspace."""

from epmstore.catalog.diff import Change
from epmstore.catalog.state import VersionInfo
from epmstore.index.entries import Span
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.workspace import Workspace

__all__ = ["AppHandle", "Change", "Span", "VersionInfo", "Workspace"]
