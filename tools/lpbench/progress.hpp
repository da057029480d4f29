// The progress line on stderr: redrawn in place on a terminal, a line every now and then elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace lpbench {

class Progress {
 public:
  // Where stderr is no terminal, a line is written this often; zero: none is.
  explicit Progress(std::chrono::steady_clock::duration elsewhere);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  // Whether anything is shown at all, and how often at most.
  [[nodiscard]] bool wanted() const { return interval_ > interval_.zero(); }
  [[nodiscard]] std::chrono::steady_clock::duration interval() const { return interval_; }

  // Whether it is time to show something: asked before a text is made, as that is called very often.
  [[nodiscard]] bool due() const { return interval_ > interval_.zero() && std::chrono::steady_clock::now() >= next_; }

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
