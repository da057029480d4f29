// One thread for the whole program, while there is something to close.
#include "base/close_in_background.hpp"

#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <new>
#include <utility>

#include "base/background_thread.hpp"

namespace leasepool::detail {

namespace {

// Nobody waits for what a socket that nobody wants has to say, and those behind it in the queue are not to: its data go
// as if it had no SO_LINGER.
void do_not_linger(const UniqueFd& descriptor) noexcept {
  linger lingering{};
  socklen_t size = sizeof lingering;
  const bool lingers = ::getsockopt(descriptor.get(), SOL_SOCKET, SO_LINGER, &lingering, &size) == 0 &&
                       lingering.l_onoff != 0 && lingering.l_linger > 0;
  if (!lingers) return;
  lingering.l_onoff = 0;
  ::setsockopt(descriptor.get(), SOL_SOCKET, SO_LINGER, &lingering, sizeof lingering);
}

void close_now(Descriptors& descriptors) noexcept {
  for (const UniqueFd& descriptor : descriptors) do_not_linger(descriptor);
  descriptors.clear();
}

class Closing final : public BackgroundTask {
 public:
  explicit Closing(Descriptors&& descriptors) noexcept : descriptors_(std::move(descriptors)) {}
  void run() noexcept override { close_now(descriptors_); }

 private:
  Descriptors descriptors_;
};

// Never destroyed: descriptors are closed until the very end of the program.
BackgroundThread& closing_thread() {
  static auto& thread = *new BackgroundThread("leasepool-close", Duration::zero());
  return thread;
}

}  // namespace

void close_in_background(Descriptors&& descriptors) noexcept {
  if (descriptors.empty()) return;
  try {
    BackgroundThread& thread = closing_thread();  // first, as it may throw while the descriptors are still here
    const auto closing = std::make_shared<Closing>(std::move(descriptors));
    if (!thread.add(closing)) closing->run();
  } catch (const std::bad_alloc&) {
    close_now(descriptors);
  }
}

void close_in_background(UniqueFd descriptor) noexcept {
  if (!descriptor) return;
  try {
    Descriptors one;
    one.push_back(std::move(descriptor));
    close_in_background(std::move(one));
  } catch (const std::bad_alloc&) {
    do_not_linger(descriptor);
  }
}

}  // namespace leasepool::detail
