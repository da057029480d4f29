// Bars that lie, each below its name.
#include <fmt/format.h>

#include <algorithm>

#include "page/html.hpp"
#include "page/plots.hpp"

namespace lpbench {

namespace {

constexpr double kBarsWidth = 508;
constexpr double kBarLeft = 2;
constexpr double kBarRight = kBarsWidth - 96;  // what is left is for the value of the longest bar
constexpr double kRow = 46;
constexpr double kBarTop = 20;
constexpr double kBarHeight = 16;
constexpr double kBelow = 48;
constexpr double kThinnest = 1.5;
constexpr std::size_t kMaxOfName = 64;

std::string drawn(const BarPlot& plot, const Bar& bar, double top) {
  const auto width_of = [&](double value) { return plot.x.at(value) * (kBarRight - kBarLeft); };
  std::string svg =
      fmt::format(R"(<g class="{}"><text class="name" x="{}" y="{}">{}<title>{}</title></text>)", run_class(bar.run),
                  kBarLeft, top + 13, escaped(shortened(bar.name, kMaxOfName)), escaped(bar.name));
  double value = 0;
  for (const BarSegment& segment : bar.segments) {
    const double begin = kBarLeft + width_of(value);
    value += segment.value;
    const double width = std::max(kBarLeft + width_of(value) - begin, kThinnest);
    if (segment.value <= 0) continue;
    svg +=
        fmt::format(R"(<rect class="bar tint{}" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>)",
                    segment.tint, begin, top + kBarTop, width, kBarHeight, escaped(bar.name + ": " + segment.hover));
  }
  svg += fmt::format(R"(<text class="value" x="{:.1f}" y="{}">{}</text>)", kBarLeft + width_of(value) + 8,
                     top + kBarTop + 13, escaped(bar.value));
  return svg + "</g>\n";
}

}  // namespace

std::string to_svg(const BarPlot& plot) {
  const double bottom = kRow * static_cast<double>(plot.bars.size());
  std::string svg =
      fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                  kBarsWidth, bottom + kBelow, escaped(plot.title));
  for (const Axis::Tick& tick : plot.x.ticks()) {
    const double x = kBarLeft + tick.at * (kBarRight - kBarLeft);
    svg += fmt::format(R"(<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="0" y2="{}"/>)", x, x, bottom);
    svg += fmt::format(R"(<text class="tick {}" x="{:.1f}" y="{}">{}</text>)", tick.at == 0 ? "start" : "middle", x,
                       bottom + 18, escaped(tick.label));
  }
  for (std::size_t index = 0; index < plot.bars.size(); ++index) {
    svg += drawn(plot, plot.bars[index], kRow * static_cast<double>(index));
  }
  svg += fmt::format(R"(<text class="axis middle" x="{}" y="{}">{}</text>)", (kBarLeft + kBarRight) / 2, bottom + 40,
                     escaped(plot.x_title));
  return svg + "\n</svg>\n";
}

}  // namespace lpbench
