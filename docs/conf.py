"""The documentation site: `make docs` builds it into build/site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import croissant
import generate

HERE = Path(__file__).parent
generate.main(HERE)
(HERE / "_extra").mkdir(exist_ok=True)
(HERE / "_extra" / "croissant.json").write_text(
    croissant.describe(HERE / "results" / "store"), encoding="utf-8"
)

project = "bench"
author = "the authors of bench"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "bench"
html_copy_source = False
html_show_copyright = False
html_static_path = ["_static"]
html_extra_path = ["_extra"]
html_css_files = ["site.css"]
exclude_patterns = ["results/store", "_build", "_extra", "model-card-table.md"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
