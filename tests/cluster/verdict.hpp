// Verdict: what callers were told of their calls, against what nodes noted of what ran.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace cluster {

class Verdict {
 public:
  void add_node(const std::string& log);
  void add_caller(const std::string& log);

  // When all logs are there: the first things that must not be; empty if there are none.
  [[nodiscard]] std::string wrongs();
  void print() const;

  [[nodiscard]] std::size_t ok() const { return ok_; }
  [[nodiscard]] std::size_t failed() const { return not_run_ + ran_ + did_not_run_; }

 private:
  enum class Told { nothing, ok, not_run, may_have_run };
  struct Call {
    Told told = Told::nothing;
    std::size_t answers = 0;
    std::size_t runs = 0;
    bool begun = false;
    bool must_be_answered = false;
    std::string line;
  };

  void wrong(const std::string& what);
  void judge(std::uint64_t number, const Call& call);

  std::map<std::uint64_t, Call> calls_;
  std::string wrongs_;
  std::size_t wrong_count_ = 0;
  std::size_t ok_ = 0;
  std::size_t not_run_ = 0;
  std::size_t ran_ = 0;  // of those that may have run
  std::size_t did_not_run_ = 0;
  std::size_t unheard_ = 0;  // their callers died
};

}  // namespace cluster
