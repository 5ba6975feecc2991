"""Settings of the documentation site, built by scripts/docs. Nothing is fetched from the internet."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline import __version__

project = "nnsweep"
author = "nnsweep contributors"
project_copyright = "nnsweep contributors"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

myst_heading_anchors = 3
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are in the docstrings
autodoc_default_options = {  # scikit-learn adds these methods, for its routing of metadata, to every estimator
    "exclude-members": "set_fit_request, set_score_request, set_predict_request, set_partial_fit_request, "
    "set_transform_request, set_inverse_transform_request, set_predict_proba_request"
}
numpydoc_show_class_members = False  # the template of a module lists them
numpydoc_validation_checks = set()
highlight_language = "text"

html_theme = "pydata_sphinx_theme"
html_title = f"nnsweep {release}"
html_theme_options = {
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navigation_depth": 3,
    "use_edit_page_button": False,
    "search_bar_text": "Search the documentation",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False


MARKUP = re.compile(
    r"(?<!\\)\|"  # |g| is no substitution
    r"|(?<=\w)_(?!\w)"  # n_iter_ is no reference
    r"|(?<=[(, ])\*(?=[a-z]\w*[),])"  # (*arguments) is no emphasis
)


def show_plain_text(app, what, name, obj, options, lines):
    """Show formulas and names of a docstring as they are written, and an indented block of a module's as it stands."""
    shown = []
    for line in lines:
        is_block = what == "module" and line.startswith("    ")
        if is_block and len(shown) > 1 and not shown[-1] and not shown[-2].startswith("    "):
            shown += ["::", ""]
        if not is_block and not line.lstrip().startswith((">>>", "...")):
            pieces = re.split(r"(``.*?``)", line)
            pieces[::2] = [MARKUP.sub(r"\\\g<0>", piece) for piece in pieces[::2]]
            line = "".join(pieces)
        shown.append(line)
    lines[:] = shown


def skip_field_aliases(app, what, name, obj, skip, options):
    """Leave out the fields of a NamedTuple, which its docstring describes."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_field_aliases)
    app.connect("autodoc-process-docstring", show_plain_text, priority=900)  # after numpydoc
