// Outcomes: what came of the calls of a run, against what may come of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <leasepool/leasepool.hpp>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace endurance {

// Of mark(): so many calls of it may be under way or not looked at yet.
inline constexpr std::size_t kMarks = 4096;

enum class Kind { add, echo, fail, nap, crash, doom, mark };

// What befalls a call besides its function, for which only some errors are right.
struct Circumstances {
  leasepool::ExecutorBackend backend;
  Kind kind;
  bool has_timeout = false;  // of its run or of its wait
  bool has_stop_token = false;
  bool bounded_queue = false;
};

// Any thread.
class Outcomes {
 public:
  void begun(Kind kind);

  // The function's value, or its exception, arrived; `right` says whether it is the one that was to come.
  void succeeded(const Circumstances& call, bool right);
  void failed(const Circumstances& call, const leasepool::Error& error);
  // The same of what an await or a future throws; in a catch block.
  void failed_by_exception(const Circumstances& call);
  void acquire_failed(leasepool::ExecutorBackend backend, const std::exception& error, bool may_be_refused);

  void wrong(std::string what);

  [[nodiscard]] std::size_t begun_in_all() const;
  [[nodiscard]] std::size_t told_in_all() const;
  // The first things that must not be.
  [[nodiscard]] std::string wrongs() const;
  void print() const;

 private:
  void count(const Circumstances& call, const std::string& outcome);
  void failed_with(const Circumstances& call, std::error_code code, const std::string& message);

  mutable std::mutex mutex_;
  std::size_t begun_ = 0;
  std::size_t told_ = 0;
  std::map<std::pair<std::string, std::string>, std::size_t> counts_;  // by call and outcome
  std::vector<std::string> wrongs_;
};

}  // namespace endurance
