// What Traffic's workers run.
#include "loops/traffic.hpp"

#include <chrono>
#include <thread>

namespace {

std::string ran_in(pid_t program, std::chrono::milliseconds time) {
  const auto before = leasepool::test::activities_of({program});
  std::this_thread::sleep_for(time);
  return leasepool::test::difference(before, leasepool::test::activities_of({program}));
}

}  // namespace

std::string ran_at_rest(pid_t program) {
  if (leasepool::test::kThreadSanitized) {  // its runtime has a thread of its own, which wakes by itself
    std::this_thread::sleep_for(50ms);
    return {};
  }
  // What was done last takes a moment to come to rest, the longer the busier the machine is. What polls never does.
  std::string ran;
  (void)leasepool::test::eventually([&] { return (ran = ran_in(program, 200ms)).empty(); });
  return ran;
}
LEASEPOOL_REGISTER(ran_at_rest);
