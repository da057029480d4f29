// The plots of a page: throughput, CPU cost, latency by percentile, throughput over time.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "page/html.hpp"
#include "page/page.hpp"
#include "page/plots.hpp"
#include "units.hpp"

namespace lpbench {

namespace {

using leasepool::Duration;

struct Part {
  std::string_view name;
  Duration CpuTime::* of;
  CpuTime CpuCost::* where;
};
constexpr std::array kParts = {Part{"user, this process", &CpuTime::user, &CpuCost::here},
                               Part{"system, this process", &CpuTime::system, &CpuCost::here},
                               Part{"user, workers", &CpuTime::user, &CpuCost::workers},
                               Part{"system, workers", &CpuTime::system, &CpuCost::workers}};

std::string tick_time(double nanoseconds) {
  constexpr std::array kUnits = {std::pair{1e9, "s"}, std::pair{1e6, "ms"}, std::pair{1e3, "µs"}};
  for (const auto& [size, unit] : kUnits) {
    if (nanoseconds >= size * (1 - 1e-9)) return fmt::format("{:.4g} {}", nanoseconds / size, unit);
  }
  return nanoseconds == 0 ? "0" : fmt::format("{:.4g} ns", nanoseconds);
}

std::string figure(std::string_view title, std::string_view note, const std::string& legend, const std::string& svg,
                   bool wide) {
  return fmt::format("<figure{}><figcaption><h2>{}</h2><p>{}</p></figcaption>\n{}<div>{}</div></figure>\n",
                     wide ? " class=\"wide\"" : "", title, note, legend, svg);
}

// One run needs none.
std::string legend_of(const Names& names) {
  if (names.size() < 2) return {};
  std::string legend = "<ul class=\"legend\">";
  for (std::size_t index = 0; index < names.size(); ++index) {
    legend += fmt::format(R"(<li class="{}"><i class="stroke"></i>{}</li>)", run_class(index), escaped(names[index]));
  }
  return legend + "</ul>\n";
}

std::string throughput_figure(const std::vector<RunRecord>& runs, const Names& names) {
  double most = 0;
  for (const RunRecord& run : runs) most = std::max(most, run.per_second);
  BarPlot plot{.title = "Throughput of each run",
               .x_title = things(runs) + " per second",
               .x = Axis::linear(most, short_number)};
  for (std::size_t index = 0; index < runs.size(); ++index) {
    const std::string value = fmt::format("{}/s", grouped(runs[index].per_second));
    plot.bars.push_back({.name = names[index],
                         .run = index,
                         .segments = {{.value = runs[index].per_second, .hover = value}},
                         .value = grouped(runs[index].per_second)});
  }
  return figure("Throughput", "What succeeded in the measured time. More is better.", {}, to_svg(plot), false);
}

std::string cpu_figure(const std::vector<RunRecord>& runs, const Names& names) {
  Duration most{};
  std::array<bool, kParts.size()> present{};
  for (const RunRecord& run : runs) most = std::max(most, run.cpu.total());
  BarPlot plot{.title = "CPU time of each run",
               .x_title = "CPU time per " + thing(runs),
               .x = Axis::linear(static_cast<double>(most.count()), tick_time)};
  for (std::size_t index = 0; index < runs.size(); ++index) {
    Bar bar{.name = names[index], .run = index, .value = page_time(runs[index].cpu.total())};
    for (std::size_t part = 0; part < kParts.size(); ++part) {
      const Duration time = runs[index].cpu.*kParts.at(part).where.*kParts.at(part).of;
      present.at(part) = present.at(part) || time > Duration::zero();
      bar.segments.push_back({.value = static_cast<double>(time.count()),
                              .tint = part,
                              .hover = fmt::format("{} {}", page_time(time), kParts.at(part).name)});
    }
    plot.bars.push_back(std::move(bar));
  }
  std::string legend = "<ul class=\"legend\">";
  for (std::size_t part = 0; part < kParts.size(); ++part) {
    if (present.at(part))
      legend += fmt::format(R"(<li><i class="patch tint{}"></i>{}</li>)", part, kParts.at(part).name);
  }
  return figure("CPU cost", "User and system time of the whole process tree. Less is better.", {},
                to_svg(plot) + legend + "</ul>\n", false);
}

std::string latency_figure(const std::vector<RunRecord>& runs, const Names& names) {
  double least = 1e18;
  double most = 1;
  double highest = 0;
  std::vector<Line> lines;
  for (std::size_t index = 0; index < runs.size(); ++index) {
    Line line{.name = names[index], .run = index};
    for (const CurvePoint& point : runs[index].curve) {
      const double nanoseconds = std::max(1.0, static_cast<double>(point.latency.count()));
      least = std::min(least, nanoseconds);
      most = std::max(most, nanoseconds);
      highest = std::max(highest, point.percent);
      const double nines = -std::log10(1 - point.percent / 100);
      const bool whole = point.percent > 0 && std::abs(nines - std::round(nines)) < 1e-6;
      line.points.push_back({.x = point.percent,
                             .y = nanoseconds,
                             .hover = fmt::format("{:.6g} % within {}", point.percent, page_time(point.latency)),
                             .dot = whole});
    }
    lines.push_back(std::move(line));
  }
  const LinePlot plot{.title = "Latency by percentile",
                      .x_title = "percentile, each nine as wide as the one before",
                      .y_title = "latency",
                      .x = Axis::percentiles(highest),
                      .y = Axis::logarithmic(std::min(least, most), most, tick_time),
                      .lines = std::move(lines)};
  return figure("Latency by percentile",
                "So many per cent were at most so slow. Both axes are logarithmic. Lower is better.", legend_of(names),
                to_svg(plot), true);
}

// The rate in each interval, as steps.
Line steps_of(const RunRecord& run, const std::string& name, std::size_t index) {
  constexpr std::size_t kMaxToPointAt = 150;
  Line line{.name = name, .run = index};
  const std::size_t count = run.per_interval.size();
  for (std::size_t interval = 0; interval < count; ++interval) {
    const double begin = static_cast<double>(interval) * run.interval;
    const double end = interval + 1 == count ? std::max(run.elapsed, begin + run.interval / 2) : begin + run.interval;
    const double rate = static_cast<double>(run.per_interval[interval]) / (end - begin);
    line.points.push_back({.x = begin, .y = rate});
    if (count <= kMaxToPointAt) {
      line.points.push_back(
          {.x = (begin + end) / 2, .y = rate, .hover = fmt::format("{}/s at {:.2f} s", grouped(rate), begin)});
    }
    line.points.push_back({.x = end, .y = rate});
  }
  return line;
}

std::string time_figure(const std::vector<RunRecord>& runs, const Names& names) {
  double least = 1e18;
  double most = 0;
  double longest = 0;
  std::vector<Line> lines;
  for (std::size_t index = 0; index < runs.size(); ++index) {
    lines.push_back(steps_of(runs[index], names[index], index));
    least = std::min(least, runs[index].per_second);
    longest = std::max(longest, runs[index].elapsed);
    for (const PlotPoint& point : lines.back().points) most = std::max(most, point.y);
  }
  // Runs that are far apart would lie on the axis or leave the plot.
  const bool logarithmic = least > 0 && most / least > 25;
  const LinePlot plot{
      .title = "Throughput over time",
      .x_title = "seconds measured",
      .y_title = things(runs) + " per second",
      .x = Axis::ending_at(longest, [](double value) { return fmt::format("{:.4g}", value); }),
      .y = logarithmic ? Axis::logarithmic(least / 2, most, short_number) : Axis::linear(most, short_number),
      .lines = std::move(lines)};
  return figure("Throughput over time",
                fmt::format("In each interval of {} s{}.", runs.front().interval,
                            logarithmic ? "; the upright axis is logarithmic" : ""),
                legend_of(names), to_svg(plot), true);
}

}  // namespace

std::string run_class(std::size_t index) {
  constexpr std::size_t kColours = 8;
  return fmt::format("c{} d{}", index % kColours, index / kColours);
}

std::string figures(const std::vector<RunRecord>& runs, const Names& names) {
  return "<section class=\"figures\">\n" + throughput_figure(runs, names) + cpu_figure(runs, names) +
         latency_figure(runs, names) + time_figure(runs, names) + "</section>\n";
}

}  // namespace lpbench
