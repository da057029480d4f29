// Channel: frames and their descriptors over one end of a stream socket, driven by the ring. One receive and at most
// one send are in flight; both keep the channel, and with it descriptor and buffers, alive until their last completion,
// so its owner may let go at any time.
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

namespace leasepool::detail {

// Loop thread only. May let go of the channel from inside of each call.
class ChannelOwner {
 public:
  virtual void frame_received(const Frame& frame) = 0;

  // Nothing more will be received: the other end closed, after everything it sent was handed over; or `violation` says
  // how the bytes broke the protocol. Called once.
  virtual void channel_ended(std::string_view violation) = 0;

  // The kernel refused a frame's descriptors, with an errno: the frame was not sent, later ones are.
  virtual void descriptors_refused(std::uint64_t call_id, int error) = 0;

 protected:
  ~ChannelOwner() = default;
};

// Loop thread only.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(LoopCore& loop, UniqueFd socket, std::size_t max_payload, ChannelOwner& owner);

  // Starts receiving. Descriptors that come are dropped by the kernel, unless they are to be received.
  enum class Receives { bytes, descriptors };
  void open(Receives what = Receives::bytes);

  // Sends a finished frame and what travels beside it; the id is for descriptors_refused(). Failures show as the
  // channel's end.
  void send(Bytes frame, Descriptors descriptors = {}, std::uint64_t call_id = 0) {
    queue(std::move(frame), std::move(descriptors), call_id);
    flush();
  }

  // The same in two steps, so that small frames go together.
  void queue(Bytes frame, Descriptors descriptors = {}, std::uint64_t call_id = 0);
  void flush();

  // From inside of descriptors_refused(): is sent next, in the place of what was refused.
  void queue_next(Bytes frame) { outgoing_.push_front({.frame = std::move(frame), .descriptors = {}}); }

  // Has the rest of what the other end sent received, and then the channel end, even while somebody else still holds
  // the other end open.
  void finish() noexcept;

  // The owner lets go: it is not called any more, and the socket is closed as soon as the kernel is done with it.
  void let_go() noexcept;

 private:
  struct Outgoing {
    Bytes frame;
    Descriptors descriptors;  // until the kernel has them
    std::uint64_t call_id = 0;
  };

  void receive();
  void received(Completion completion);
  void end(std::string_view violation);
  void send_front();
  void sent(Completion completion);
  void drop_front();
  void stop_sending();

  LoopCore& loop_;
  UniqueFd socket_;
  ChannelOwner* owner_;
  FrameDecoder decoder_;
  Message incoming_message_;
  Message outgoing_message_;
  std::deque<Outgoing> outgoing_;
  std::size_t sent_of_front_ = 0;
  Receives receives_ = Receives::bytes;
  bool sending_ = false;
  bool ended_ = false;
};

}  // namespace leasepool::detail
