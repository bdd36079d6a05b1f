"""How the documentation is built: Sphinx, furo, MyST.  Warnings are errors in CI."""

from importlib.metadata import version as installed_version

project = "lumenize_sim"
author = "lumenize_sim contributors"
project_copyright = author
release = version = installed_version("lumenize_sim")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "decisions/template.md"]

html_theme = "furo"
html_title = f"lumenize_sim {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `make notebooks` runs them; here they are shown as they were saved

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
default_role = "code"  # in docstrings a single backtick is a name, as in Markdown
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an attrs field is described once, in its class's "Attributes:"
