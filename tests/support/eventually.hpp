// eventually(): waits for something that another thread, process or the kernel brings about.
#pragma once

#include <chrono>
#include <thread>

namespace leasepool::test {

// True as soon as `holds()` is; false after the limit, which is there to end a broken test, not to time a sound one.
template <class Condition>
[[nodiscard]] bool eventually(Condition holds, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto give_up = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace leasepool::test
