// The dashboard's files, taken into the program as they are, so that nothing has to be found on a disk at run time.
#include "CDashboard.h"

// C23 has #embed; the compiler takes it in older C too, and says so.
#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char index_html[] = {
#embed "Files/index.html"
};
static const unsigned char dashboard_css[] = {
#embed "Files/dashboard.css"
};
static const unsigned char dashboard_js[] = {
#embed "Files/dashboard.js"
};
static const unsigned char api_js[] = {
#embed "Files/api.js"
};
static const unsigned char widgets_js[] = {
#embed "Files/widgets.js"
};
static const unsigned char graph_js[] = {
#embed "Files/graph.js"
};
static const unsigned char mesh_pages_js[] = {
#embed "Files/mesh-pages.js"
};
static const unsigned char more_pages_js[] = {
#embed "Files/more-pages.js"
};
static const unsigned char live_pages_js[] = {
#embed "Files/live-pages.js"
};
static const unsigned char icon_svg[] = {
#embed "Files/icon.svg"
};

#define SCRIPT "text/javascript; charset=utf-8"

static const cdb_file files[] = {
  {"index.html", "text/html; charset=utf-8", index_html, sizeof index_html},
  {"dashboard.css", "text/css; charset=utf-8", dashboard_css, sizeof dashboard_css},
  {"dashboard.js", SCRIPT, dashboard_js, sizeof dashboard_js},
  {"api.js", SCRIPT, api_js, sizeof api_js},
  {"widgets.js", SCRIPT, widgets_js, sizeof widgets_js},
  {"graph.js", SCRIPT, graph_js, sizeof graph_js},
  {"mesh-pages.js", SCRIPT, mesh_pages_js, sizeof mesh_pages_js},
  {"more-pages.js", SCRIPT, more_pages_js, sizeof more_pages_js},
  {"live-pages.js", SCRIPT, live_pages_js, sizeof live_pages_js},
  {"icon.svg", "image/svg+xml", icon_svg, sizeof icon_svg},
};

cdb_file cdb_file_at(size_t number) {
  const cdb_file none = {0, 0, 0, 0};
  return number < sizeof files / sizeof files[0] ? files[number] : none;
}
