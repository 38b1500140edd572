"""The public Python API: see Workspace.

- actor.py          who asks: what a caller says of that, for the record
- advice.py         what a user who registers an application should know of its root
- apps.py           `ws.apps`: the applications of this host
- blobs.py          `ws.blobs`: single contents, in and out
- care.py           `ws.care`: looking after the store as a whole
- catalogs.py       `ws.catalogs`: reference catalogs on the move, and who is believed
- declarations.py   the folder `apps.d`, and drop-ins of systemd units
- declared.py       `apps.d/<key>.toml`: an application as configuration management declares it
- deviations.py     what a root should be, in what it deviates, and since when
- installshapes.py  shapes of docs/json.md: what is installed
- intended.py       which release of which product goes where, and how
- opening.py        making and opening stores: what is checked before anything else happens
- packages.py       `ws.packages`: install, upgrade, uninstall, adopt
- pipelineshapes.py  shapes of docs/json.md: the release pipeline
- readreport.py     reading a report that was made elsewhere
- remotes.py        `ws.remotes`: places elsewhere, and what goes there and comes from there
- remoteshapes.py   shapes of docs/json.md: remotes
- settings.py       the settings of a store, read
- shapes.py         the shapes of docs/json.md, made from values of the library
- site_parameters.py setting parameters, of one application or of all with a product
- targets.py        which application a product is installed in
- trees.py          the trees that a selector may mean
- treesources.py    a version, a release, the live root as trees
- vendors.py        `ws.vendors`: what a vendor does with reference catalogs
- vendorshapes.py   shapes of docs/json.md: what vendors know
- workspace.py      Workspace: an open store and everything that can be done with it from Python
"""

from epmstore.catalog.diff import Change
from epmstore.catalog.state import VersionInfo
from epmstore.index.entries import Span
from epmstore.workspace.app.handle import AppHandle
from epmstore.workspace.workspace import Workspace

__all__ = ["AppHandle", "Change", "Span", "VersionInfo", "Workspace"]
