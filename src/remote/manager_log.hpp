// ManagerLog: what a manager on nodes tells its user. Pure.
#pragma once

#include <new>
#include <string>

#include "leasepool/error.hpp"
#include "leasepool/log.hpp"
#include "pool/pool_source.hpp"
#include "remote/problem_log.hpp"

namespace leasepool::detail::remote {

// Without memory for a line nothing is said.
class ManagerLog {
 public:
  void set(const PoolSource::Say& say) { say_ = say; }

  template <class MakeText>
  void tell(LogLevel level, MakeText make_text) const noexcept {
    if (!say_) return;
    try {
      say_(level, make_text());
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as it says
    }
  }
  // The same problem once a minute.
  template <class MakeText>
  void tell_problem(const Error& problem, TimePoint now, MakeText make_text) noexcept {
    try {
      if (problems_.is_news(problem.message(), now)) tell(LogLevel::warning, make_text);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as it says
    }
  }

 private:
  PoolSource::Say say_;
  ProblemLog problems_;
};

}  // namespace leasepool::detail::remote
