// SpareHolds: what calls of a lease held that have ended, for its next calls. Each call keeps its lease alive, and
// counting that up and down atomically takes a tenth of a quick call.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "leasepool/detail/job.hpp"

namespace leasepool::detail {

// Loop thread only. Its lease, of which it is a part, clears it when it takes no more calls: what holds itself never
// goes.
class SpareHolds {
 public:
  // As far as there is room, which is made when there is a second one.
  void keep(std::shared_ptr<JobSink> hold) noexcept {
    if (!first_) {
      first_ = std::move(hold);
      return;
    }
    if (others_.capacity() == 0) make_room();
    if (others_.size() < others_.capacity()) others_.push_back(std::move(hold));
  }
  // Null where there is none.
  [[nodiscard]] std::shared_ptr<JobSink> take() noexcept {
    if (others_.empty()) return std::move(first_);
    std::shared_ptr<JobSink> hold = std::move(others_.back());
    others_.pop_back();
    return hold;
  }
  void clear() noexcept {
    others_.clear();
    first_.reset();
  }

 private:
  static constexpr std::size_t kMost = 256;  // more seldom end before the next calls come

  void make_room() noexcept {
    try {
      others_.reserve(kMost);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then calls count for themselves
    }
  }

  std::shared_ptr<JobSink> first_;
  std::vector<std::shared_ptr<JobSink>> others_;
};

}  // namespace leasepool::detail
