// EpollSet: which descriptors the kernel watches for the loop, and for what.
//
// A registration of the kernel's is of an open file under a number, and outlives the number's close() where somebody
// else has the file, too. So one that reports each event is removed when nobody waits for it; any other is disarmed by
// its first event and armed again by the next wait, which also notices that the number is another file's by now.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

// One thread, and one process: in a forked copy the set is still the other's.
class EpollSet {
 public:
  EpollSet();  // throws std::system_error

  // Readable while there is something for take().
  [[nodiscard]] int fd() const noexcept { return epoll_.get(); }

  // Makes room for what is to be said of the descriptors below that number. Throws std::bad_alloc.
  void reserve(std::size_t count);

  enum class Report : std::uint8_t { once, each };
  // Watches for the events, in place of what it was watched for; those that are there already count. Reporting each, it
  // reports those anew, even where nothing has changed. Gives 0 or an errno, EPERM for what cannot be watched.
  [[nodiscard]] int watch(int fd, std::uint32_t events, Report report) noexcept;
  // Whether it is watched for all of them already.
  [[nodiscard]] bool is_watched(int fd, std::uint32_t events, Report report) const noexcept;
  void unwatch(int fd) noexcept;

  struct Come {
    int error = 0;
    std::span<const epoll_event> events{};  // their data.fd says of what; until the next take()
  };
  // What has come; if `wait`, as soon as something has, or a signal.
  [[nodiscard]] Come take(bool wait) noexcept;

 private:
  struct Watch {
    std::uint32_t events = 0;
    Report report = Report::once;
    bool armed = false;
    bool known = false;  // to the kernel
  };

  const std::uint64_t process_;
  const UniqueFd epoll_;
  std::vector<Watch> watches_;  // by descriptor
  std::array<epoll_event, 128> come_{};
};

}  // namespace leasepool::detail
