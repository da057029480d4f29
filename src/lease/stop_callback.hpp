// StopCallback: posts what the caller's stop asks for to the loop.
#pragma once

#include <memory>
#include <stop_token>
#include <utility>

#include "leasepool/detail/deferred.hpp"
#include "loop/scheduler.hpp"

namespace leasepool::detail {

// Any thread may request the stop; what was made beforehand then runs on the loop's.
class StopCallback final {
 public:
  StopCallback(const std::stop_token& token, std::shared_ptr<Scheduler> loop, std::unique_ptr<Deferred> cancellation)
      : callback_(token, Post{.loop = std::move(loop), .cancellation = std::move(cancellation)}) {}

 private:
  struct Post {
    std::shared_ptr<Scheduler> loop;
    std::unique_ptr<Deferred> cancellation;
    void operator()() noexcept { loop->post(std::move(cancellation)); }
  };
  std::stop_callback<Post> callback_;
};

}  // namespace leasepool::detail
