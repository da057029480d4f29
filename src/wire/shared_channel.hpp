// SharedChannel: frames through memory that both ends share, with a socket beside it for what has no room there, for
// descriptors, to wake who sleeps, and for the end. Without shared memory it is the socket's channel alone.
//
// The order of frames is the rings': a frame that goes through the socket leaves a frame `via_socket` in its place.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "loop/loop_core.hpp"
#include "loop/poller.hpp"
#include "wire/byte_ring.hpp"
#include "wire/channel.hpp"

namespace leasepool::detail {

// The two directions; null where there is no shared memory. Theirs who make the channel, for as long as it lives.
struct RingPair {
  ByteRing* out = nullptr;
  ByteRing* in = nullptr;
};

// Loop thread only.
class SharedChannel final : public ChannelOwner, public Poller, public std::enable_shared_from_this<SharedChannel> {
 public:
  SharedChannel(LoopCore& loop, UniqueFd socket, RingPair rings, std::size_t max_payload, Duration spin,
                ChannelOwner& owner);
  SharedChannel(const SharedChannel&) = delete;
  SharedChannel& operator=(const SharedChannel&) = delete;
  ~SharedChannel() { detach(); }

  void open() { channel_->open(); }

  // As Channel's, for both ways.
  void pause() noexcept;
  void go_on();

  // Through the socket, before the first frame that comes.
  void send_first(Bytes frame) { channel_->send(std::move(frame)); }

  // As Channel's. The caller may make the next frame in the same bytes; one that goes through the socket takes them.
  // Throws std::bad_alloc, and then nothing is sent. What an other end that does not read would make grow is not sent,
  // either: that is its end.
  void queue(Bytes& frame, Descriptors descriptors, std::uint64_t number);
  void flush();

  // While frames are expected, the loop looks for them.
  void expect(bool some);

  // Whether a frame that is sent now has to wake the other end, as far as that says so: in its ring.
  [[nodiscard]] bool other_end_sleeps() const noexcept { return shares_memory_ && outgoing_.reader_sleeps(); }

  void finish() noexcept { channel_->finish(); }
  void detach() noexcept;

  [[nodiscard]] bool pure_poll() const noexcept override {
    return !via_socket_ && !ended_ && !paused_ && incoming_.ready();
  }
  void snapshot() noexcept override;
  void poll() override;
  [[nodiscard]] bool try_enter_interrupt_mode() noexcept override;
  void exit_interrupt_mode() noexcept override { incoming_.cancel_park(); }

 private:
  void frame_received(const Frame& frame) override;
  void channel_ended(std::string_view violation) override;
  void descriptors_refused(std::uint64_t number, int error) override;
  void break_off(const char* violation) noexcept;
  void end(std::string_view violation);
  void drain_completions();

  LoopCore& loop_;
  const std::shared_ptr<Channel> channel_;
  ChannelOwner* owner_;
  const bool shares_memory_;
  const Duration spin_;
  const std::size_t most_unread_;  // bytes
  ByteRingWriter outgoing_;
  ByteRingReader incoming_;
  FrameDecoder decoder_;     // of what comes through memory
  bool via_socket_ = false;  // the next frame comes through the socket
  bool opened_ = false;      // the first frame came, which the socket brings
  bool watched_ = false;
  std::uint64_t sleeps_ = 0;  // of this end; so often the other may wake it
  std::uint64_t wakes_ = 0;
  bool collecting_ = false;
  const char* violation_ = nullptr;  // for which it is broken off
  bool paused_ = false;
  bool catching_up_ = false;  // with what came through the socket, paused or not
  bool ended_ = false;
};

}  // namespace leasepool::detail
