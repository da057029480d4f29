// A ring as one thread uses it best: set up with what the kernel has, entered once for a batch of completions.
#pragma once

#include <liburing.h>

#include <cerrno>
#include <cstdint>

#include "echo_server.hpp"

namespace echo {

class Ring {
 public:
  explicit Ring(unsigned entries) {
    constexpr unsigned kLadder[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN,
                                    0};
    int result = -EINVAL;
    for (const unsigned rung : kLadder) {
      io_uring_params parameters{};
      parameters.flags = rung | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | (rung != 0 ? IORING_SETUP_SUBMIT_ALL : 0U);
      parameters.cq_entries = 4 * entries;
      result = io_uring_queue_init_params(entries, &ring_, &parameters);
      is_newest_ = result == 0 && (rung & IORING_SETUP_DEFER_TASKRUN) != 0;
      if (result != -EINVAL) break;
    }
    if (result < 0) not_here("no io_uring");
    io_uring_register_ring_fd(&ring_);  // spares a look-up in each enter; refused before 5.18
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { io_uring_queue_exit(&ring_); }

  [[nodiscard]] io_uring* get() { return &ring_; }

  // Linux 6.1 or newer: receives may wait before they try, or go on after the first.
  [[nodiscard]] bool is_newest() const { return is_newest_; }

  // Makes room for a chain, which is to be submitted as a whole.
  void reserve(unsigned requests) {
    while (io_uring_sq_space_left(&ring_) < requests) enter(0);
  }

  // The next request, for the caller to prepare.
  [[nodiscard]] io_uring_sqe* request() {
    reserve(1);
    return io_uring_get_sqe(&ring_);
  }

  // A receive for which nothing is there yet: it need not try first.
  [[nodiscard]] io_uring_sqe* receive_later(int socket, void* buffer, std::size_t bytes, int flags) {
    io_uring_sqe* const request = this->request();
    io_uring_prep_recv(request, socket, buffer, bytes, flags);
    if (is_newest_) request->ioprio |= IORING_RECVSEND_POLL_FIRST;
    return request;
  }

  // Submits what is prepared, waits for so many completions, and calls `handle(completion)` for each that is there.
  template <class Handle>
  void turn(unsigned completions, Handle handle) {
    enter(completions);
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      ++count;
      handle(static_cast<const io_uring_cqe&>(*completion));
    }
    io_uring_cq_advance(&ring_, count);
  }

 private:
  void enter(unsigned completions) {
    const int result = io_uring_submit_and_wait(&ring_, completions);
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) fail("io_uring_enter", -result);
  }

  io_uring ring_{};
  bool is_newest_ = false;
};

// What a completion is of, with whose it is.
enum class Event : std::uint8_t { stop, accepted, received, sent };

inline void name(io_uring_sqe* request, Event event, std::uint64_t owner = 0) {
  request->user_data = owner << 2 | static_cast<std::uint64_t>(event);
}
inline Event event_of(const io_uring_cqe& completion) { return static_cast<Event>(completion.user_data & 3); }
inline std::uint64_t owner_of(const io_uring_cqe& completion) { return completion.user_data >> 2; }

}  // namespace echo
