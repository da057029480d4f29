// Lines over two axes.
#include <fmt/format.h>

#include "page/html.hpp"
#include "page/plots.hpp"

namespace lpbench {

namespace {

constexpr double kWidth = 1040;
constexpr double kHeight = 380;
constexpr double kLeft = 78;
constexpr double kRight = kWidth - 24;
constexpr double kTop = 14;
constexpr double kBottom = kHeight - 54;

double x_of(const LinePlot& plot, double value) { return kLeft + plot.x.at(value) * (kRight - kLeft); }
double y_of(const LinePlot& plot, double value) { return kBottom - plot.y.at(value) * (kBottom - kTop); }

std::string frame(const LinePlot& plot) {
  std::string svg;
  for (const Axis::Tick& tick : plot.y.ticks()) {
    const double y = kBottom - tick.at * (kBottom - kTop);
    svg += fmt::format(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft, kRight, y, y);
    svg += fmt::format(R"(<text class="tick end" x="{}" y="{:.1f}">{}</text>)", kLeft - 10, y + 4, escaped(tick.label));
  }
  for (const Axis::Tick& tick : plot.x.ticks()) {
    const double x = kLeft + tick.at * (kRight - kLeft);
    svg += fmt::format(R"(<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>)", x, x, kTop, kBottom);
    svg +=
        fmt::format(R"(<text class="tick middle" x="{:.1f}" y="{}">{}</text>)", x, kBottom + 20, escaped(tick.label));
  }
  svg += fmt::format(R"(<line class="base" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft, kRight, kBottom, kBottom);
  svg += fmt::format(R"(<text class="axis middle" x="{}" y="{}">{}</text>)", (kLeft + kRight) / 2, kHeight - 8,
                     escaped(plot.x_title));
  svg += fmt::format(R"~(<text class="axis middle" transform="translate(16 {}) rotate(-90)">{}</text>)~",
                     (kTop + kBottom) / 2, escaped(plot.y_title));
  return svg + '\n';
}

std::string drawn(const LinePlot& plot, const Line& line) {
  std::string path;
  std::string marks;
  for (const PlotPoint& point : line.points) {
    const double x = x_of(plot, point.x);
    const double y = y_of(plot, point.y);
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x, y);
    if (point.dot) marks += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3"/>)", x, y);
    if (point.hover.empty()) continue;
    marks += fmt::format(R"(<circle class="hit" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}</title></circle>)", x, y,
                         escaped(line.name + ": " + point.hover));
  }
  return fmt::format("<g class=\"{}\"><path class=\"line\" d=\"{}\"><title>{}</title></path>{}</g>\n",
                     run_class(line.run), path, escaped(line.name), marks);
}

}  // namespace

std::string to_svg(const LinePlot& plot) {
  std::string svg =
      fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                  kWidth, kHeight, escaped(plot.title));
  svg += frame(plot);
  for (const Line& line : plot.lines) {
    if (!line.points.empty()) svg += drawn(plot, line);
  }
  return svg + "</svg>\n";
}

}  // namespace lpbench
