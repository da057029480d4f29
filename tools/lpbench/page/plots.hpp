// Plots as SVG: lines over two axes, and bars beside their names.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "page/axis.hpp"

namespace lpbench {

// The classes that give a run its colour and dashes.
std::string run_class(std::size_t index);

struct PlotPoint {
  double x = 0;
  double y = 0;
  std::string hover{};  // shown when pointed at; none where empty
  bool dot = false;
};

struct Line {
  std::string name;
  std::size_t run = 0;  // gives it its looks
  std::vector<PlotPoint> points{};
};

struct LinePlot {
  std::string title;  // for those who cannot see it
  std::string x_title;
  std::string y_title;
  Axis x;
  Axis y;
  std::vector<Line> lines{};
};
std::string to_svg(const LinePlot& plot);

struct BarSegment {
  double value = 0;
  std::size_t tint = 0;  // 0: full; up to 3: paler
  std::string hover{};
};

struct Bar {
  std::string name;
  std::size_t run = 0;
  std::vector<BarSegment> segments{};
  std::string value{};  // written at its end
};

struct BarPlot {
  std::string title;
  std::string x_title;
  Axis x;
  std::vector<Bar> bars{};
};
std::string to_svg(const BarPlot& plot);

}  // namespace lpbench
