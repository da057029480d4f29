// Channel: frames and their descriptors over one end of a stream socket, driven by the ring. One receive and at most
// one send are in flight; both keep the channel, and with it descriptor and buffers, alive until their last completion,
// so its owner may detach at any time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/unique_fd.hpp"
#include "leasepool/detail/bytes.hpp"
#include "loop/loop_core.hpp"
#include "wire/frame.hpp"
#include "wire/message.hpp"
#include "wire/wake.hpp"

namespace leasepool::detail {

// Loop thread only. May detach from the channel inside of each call.
class ChannelOwner {
 public:
  virtual void frame_received(const Frame& frame) = 0;

  // Nothing more will be received: the other end closed, after everything it sent was handed over; or `violation` says
  // how the bytes broke the protocol. Called once.
  virtual void channel_ended(std::string_view violation) = 0;

  // The kernel refused a frame's descriptors, with an errno: a frame refused_call is sent in its place.
  virtual void descriptors_refused(std::uint64_t number, int error) = 0;

 protected:
  ~ChannelOwner() = default;
};

// Loop thread only.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(LoopCore& loop, UniqueFd socket, std::size_t max_payload, ChannelOwner& owner);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  // Starts receiving. Always with room for descriptors: those for which there is none the kernel closes at once, on
  // this thread, however long that takes.
  void open();

  // Hands over no more frames, and receives no more, until it goes on: the other end then waits when the socket is
  // full.
  void pause() noexcept { paused_ = true; }
  void go_on();

  // Sends a finished frame and what travels beside it; the number is for descriptors_refused(). Failures show as the
  // channel's end.
  void send(Bytes frame, Descriptors descriptors = {}, std::uint64_t number = 0) {
    queue(std::move(frame), std::move(descriptors), number);
    flush();
  }

  // The same in two steps, so that small frames go together.
  void queue(Bytes frame, Descriptors descriptors = {}, std::uint64_t number = 0);
  void flush();

  // Sends a frame `wake`, before those that wait. False, and then it does not, if too many would be under way because
  // the other end does not read.
  [[nodiscard]] bool wake();

  // What waits for the other end to read.
  [[nodiscard]] std::size_t unsent_bytes() const noexcept { return unsent_bytes_; }
  [[nodiscard]] std::size_t unsent_messages() const noexcept { return outgoing_.size(); }

  // Has the rest of what the other end sent received, and then the channel end, even while somebody else still holds
  // the other end open.
  void finish() noexcept;

  // Its owner goes: it is not called any more, and the socket is closed as soon as the kernel is done with it.
  void detach() noexcept;

 private:
  struct Outgoing {
    Bytes frame;
    Descriptors descriptors;  // until the kernel has them
    std::uint64_t number = 0;
  };
  enum class Sending { nothing, in_flight, after_a_pause };

  void receive();
  void received(Completion completion);
  void take_in(std::size_t count);
  void hand_over();
  void end(std::string_view violation);
  void send_next();
  void send_front();
  void sent(Completion completion);
  void send_wake();
  void begin_sending() noexcept;
  void end_sending() noexcept;
  void woke(Completion completion);
  void not_sent(int result, bool with_descriptors);
  void try_later();
  void refuse_front(int error);
  void stop_sending();
  void shut_down() noexcept;

  LoopCore& loop_;
  UniqueFd socket_;
  ChannelOwner* owner_;
  FrameDecoder decoder_;
  Message incoming_message_;
  Message outgoing_message_;
  std::deque<Outgoing> outgoing_;
  std::size_t sent_of_front_ = 0;
  std::size_t unsent_bytes_ = 0;
  Wake wake_;
  std::size_t unread_wakes_ = 0;  // that were wanted since the socket took anything
  unsigned tries_ = 0;            // in a row, of what the kernel had no room for
  TimerId next_try_ = 0;
  OperationId receive_ = 0;  // the last ones
  OperationId send_ = 0;
  Sending sending_ = Sending::nothing;
  bool receiving_ = false;
  bool paused_ = false;
  bool drained_ = false;  // nothing is left in the socket, and nothing comes any more
  bool ended_ = false;
};

}  // namespace leasepool::detail
