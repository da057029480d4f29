// Choosing the way of each frame, and bringing the two ways together.
#include "wire/shared_channel.hpp"

#include <cstdint>
#include <new>

namespace leasepool::detail {

namespace {

// An honest worker has read all calls before the one that it runs; the two largest, and what is sent ahead.
constexpr std::size_t most_unread(std::size_t max_payload) noexcept {
  constexpr std::size_t kBesides = std::size_t{1} << 20;
  return max_payload > (SIZE_MAX - kBesides) / 2 ? SIZE_MAX : 2 * max_payload + kBesides;
}

}  // namespace

SharedChannel::SharedChannel(LoopCore& loop, UniqueFd socket, RingPair rings, std::size_t max_payload, Duration spin,
                             ChannelOwner& owner)
    : loop_(loop),
      channel_(std::make_shared<Channel>(loop, std::move(socket), max_payload, *this)),
      owner_(&owner),
      shares_memory_(rings.in != nullptr),
      spin_(spin),
      most_unread_(most_unread(max_payload)),
      outgoing_(rings.out),
      incoming_(rings.in),
      decoder_(max_payload) {}

void SharedChannel::queue(Bytes& frame, Descriptors descriptors, std::uint64_t number) {
  if (violation_ != nullptr) return;
  const bool through_ring = shares_memory_ && !ended_;
  if (through_ring) {
    std::size_t room = 0;
    try {
      room = outgoing_.room(frame.size() + kReservedRoom);
    } catch (const DecodeError&) {
      return break_off("it read what was not written to its ring");
    }
    if (descriptors.empty() && frame.size() + kReservedRoom <= room) return outgoing_.write(frame.view());
    if (room < kFrameHeaderSize) return break_off("it answered what it had not read");
  }
  if (channel_->unsent_bytes() > most_unread_ || channel_->unsent_messages() > kMaxFramesUnderWay) {
    return break_off("it answered what it had not read");
  }
  channel_->queue(std::move(frame), std::move(descriptors), number);
  static const EmptyFrame kViaSocket = empty_frame(FrameType::via_socket);
  if (through_ring) outgoing_.write(kViaSocket);
}

void SharedChannel::flush() {
  if (shares_memory_) {
    outgoing_.publish();
    if (outgoing_.must_wake()) {
      if (!channel_->wake()) break_off("it does not read what is to wake it");
      loop_.note_slow_wake();
    }
  }
  channel_->flush();
}

// The end is told later, as everything is: when the socket says that it is closed.
void SharedChannel::break_off(const char* violation) noexcept {
  violation_ = violation;
  channel_->finish();
}

void SharedChannel::expect(bool some) {
  if (some == watched_) return;
  watched_ = some;
  if (shares_memory_) some ? loop_.watch(*this) : loop_.unwatch(*this);
  some ? loop_.begin_busy_poll(spin_) : loop_.end_busy_poll(spin_);
}

void SharedChannel::pause() noexcept {
  paused_ = true;
  channel_->pause();
}

void SharedChannel::go_on() {
  if (!std::exchange(paused_, false)) return;
  const auto self = shared_from_this();
  poll();
  if (!paused_) channel_->go_on();
}

void SharedChannel::detach() noexcept {
  owner_ = nullptr;
  expect(false);
  channel_->detach();
}

bool SharedChannel::try_enter_interrupt_mode() noexcept {
  if (via_socket_ || ended_ || paused_) return true;  // the socket's completion wakes the loop, or who has it go on
  ++sleeps_;
  return incoming_.prepare_park();
}

void SharedChannel::snapshot() noexcept {
  if (!shares_memory_) return;
  try {
    incoming_.refresh();
  } catch (const DecodeError&) {  // NOLINT(bugprone-empty-catch): found again, and told of, by poll()
  }
}

void SharedChannel::poll() {
  if (!shares_memory_ || collecting_ || violation_ != nullptr) return;
  const auto self = shared_from_this();
  collecting_ = true;
  try {
    while (owner_ != nullptr && !ended_ && !via_socket_ && (!paused_ || catching_up_)) {
      if (const auto frame = decoder_.next()) {
        frame->type == FrameType::via_socket ? void(via_socket_ = true) : owner_->frame_received(*frame);
        continue;
      }
      const std::size_t size = incoming_.read(decoder_.space());
      if (size == 0) {
        incoming_.refresh();  // throws what snapshot() could not
        break;
      }
      decoder_.filled(size);
    }
  } catch (const DecodeError& error) {
    end(error.what());
  } catch (const std::bad_alloc&) {
    end("no memory for a frame");
  }
  collecting_ = false;
}

void SharedChannel::frame_received(const Frame& frame) {
  if (owner_ == nullptr || ended_ || violation_ != nullptr) return;
  if (frame.type == FrameType::wake) {
    if (++wakes_ > sleeps_) end("it woke who did not sleep");
    return;
  }
  if (!shares_memory_ || !std::exchange(opened_, true)) return owner_->frame_received(frame);
  const auto self = shared_from_this();
  drain_completions();  // with what came before it
  if (owner_ == nullptr || ended_) return;
  if (!std::exchange(via_socket_, false)) return end("a frame through its socket that its ring does not announce");
  owner_->frame_received(frame);
  poll();  // what came behind it
}

void SharedChannel::channel_ended(std::string_view violation) {
  const auto self = shared_from_this();
  drain_completions();
  end(violation_ != nullptr ? violation_ : violation);
}

void SharedChannel::drain_completions() {
  catching_up_ = true;
  snapshot();
  poll();
  catching_up_ = false;
}

void SharedChannel::descriptors_refused(std::uint64_t number, int error) {
  if (owner_ != nullptr) owner_->descriptors_refused(number, error);
}

void SharedChannel::end(std::string_view violation) {
  if (owner_ == nullptr || std::exchange(ended_, true)) return;
  owner_->channel_ended(violation);
}

}  // namespace leasepool::detail
