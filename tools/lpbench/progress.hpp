// The progress line on stderr: redrawn in place on a terminal, a line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace lpbench {

class Progress {
 public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  // Whether it is time to show something: asked before a text is made, as that is called very often.
  [[nodiscard]] bool due() const { return std::chrono::steady_clock::now() >= next_; }

  void show(std::string_view text);

  // Takes the line away, so that other text can be printed.
  void clear();

  // A line that stays.
  void note(std::string_view text);

 private:
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::duration interval_;
  std::chrono::steady_clock::time_point next_;
};

}  // namespace lpbench
