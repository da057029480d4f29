// Reading and writing on both ways.
#include "pool/worker_channel.hpp"

#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <new>
#include <string_view>
#include <utility>

#include "base/clock.hpp"
#include "pool/exception_codec.hpp"
#include "pool/registry.hpp"

namespace leasepool::detail {

namespace {

// What is sent in the place of a result whose descriptors the kernel refused.
Bytes refusal(const Frame& call, int error) {
  Bytes reply = begin_frame();
  const std::string_view function = find_function_by_id(call.function_id)->name;
  encode_failure(reply, Errc::bad_payload, refused_descriptors_error(function, "sending its result", error).message());
  finish_frame(reply, FrameType::failure, call.call_id, 0);
  return reply;
}

}  // namespace

// Where memory is limited or watched, none is kept that no function needs.
WorkerChannel::WorkerChannel(UniqueFd socket, StatusPage& status, UniqueFd status_file, const WorkerSettings& settings)
    : socket_(std::move(socket)),
      status_(status),
      status_file_(shares_memory() ? std::move(status_file) : UniqueFd()),
      keeps_memory_(settings.memory == WorkerSettings::kNoLimit && settings.reports_memory == 0),
      decoder_(settings.max_payload),
      calls_(status.calls()),
      outcomes_(status.outcomes()),
      ring_decoder_(settings.max_payload),
      spin_(Duration(static_cast<std::int64_t>(settings.spin))) {}

std::optional<Frame> WorkerChannel::next_call() {
  if (!keeps_memory_ && arguments_.size() != 0) let_go_of_memory();
  auto frame = next_frame();
  if (frame && frame->type == FrameType::large_call) find_arguments(*frame);
  return frame;
}

std::optional<Frame> WorkerChannel::next_frame() {
  if (!early_) decoder_.end_frame();  // before others come, which may need the room
  if (!shares_memory()) return next_from_socket();
  for (;;) {
    if (std::exchange(elsewhere_, false)) return next_from_socket();
    if (const auto frame = ring_decoder_.next()) {
      if (frame->type != FrameType::elsewhere) return frame;
      elsewhere_ = true;
    } else if (!take_from_ring() && !wait_for_ring()) {
      return std::nullopt;
    }
  }
}

// Makes it a frame as any other.
void WorkerChannel::find_arguments(Frame& call) {
  std::size_t size = 0;
  ByteReader(call.payload).read(&size, sizeof size);
  if (size > arguments_.size()) {
    arguments_ = ArgumentMemory();
    arguments_ = ArgumentMemory(status_file_.get(), StatusPage::kArgumentsOffset, size, ArgumentMemory::Access::reads);
    if (arguments_.size() == 0) end_for_want_of_memory(call.call_id);
    if (keeps_memory_) keep_memory_for(size);
  }
  call.type = FrameType::call;
  call.payload = arguments_.first(size);
}

// What the arguments are decoded into. The C library does so by itself up to 32 MiB, and returns what is larger to the
// system at once, to get it anew for the next call.
void WorkerChannel::keep_memory_for([[maybe_unused]] std::size_t size) {
#ifdef __GLIBC__
  constexpr std::size_t kKeptAnyway = std::size_t{32} << 20;
  if (size < kKeptAnyway) return;
  ::mallopt(M_MMAP_THRESHOLD, INT_MAX);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

void WorkerChannel::let_go_of_memory() {
  arguments_ = ArgumentMemory();
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

std::optional<Frame> WorkerChannel::next_from_socket() {
  while (!decode_from_socket()) {
    if (!receive()) return std::nullopt;
  }
  return std::exchange(early_, std::nullopt);
}

// Whether there is a call; what was sent to wake this process has done so.
bool WorkerChannel::decode_from_socket() {
  while (!early_) {
    early_ = decoder_.next();
    if (!early_) return false;
    if (early_->type == FrameType::wake) early_.reset();
  }
  return true;
}

bool WorkerChannel::take_from_ring() {
  calls_.look();
  const std::size_t size = calls_.read(ring_decoder_.space());
  ring_decoder_.filled(size);
  return size != 0;
}

// False when the parent has closed the channel: that, and that there is something in the ring, comes by the socket to
// who sleeps.
bool WorkerChannel::wait_for_ring() {
  if (spin_.spin([this] { return calls_.ready(); })) return true;
  if (!calls_.prepare_sleep()) return true;
  const TimePoint asleep = monotonic_now();
  if (arguments_.size() != 0 && !something_comes_soon()) let_go_of_memory();
  const bool open = receive();
  calls_.awake();
  spin_.slept(monotonic_now() - asleep);
  if (open) (void)decode_from_socket();
  return open;
}

bool WorkerChannel::something_comes_soon() const {
  constexpr int kKeptFor =
      static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(ArgumentMemory::kKeptFor).count());
  pollfd socket{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&socket, 1, kKeptFor);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

void WorkerChannel::reply(const Frame& call, const Reply& reply) {
  if (shares_memory() && write_to_ring(reply)) return;
  if (const int error = send(reply); error != 0) send(refusal(call, error).view());
}

// False if it has to go through the socket; the ring then says so.
bool WorkerChannel::write_to_ring(const Reply& reply) {
  const std::size_t room = outcomes_.room();
  const bool fits = reply.descriptors.empty() && reply.frame.size() + kReservedRoom <= room;
  if (fits) {
    outcomes_.write(reply.frame.view());
  } else {
    if (room < kFrameHeaderSize) ::_exit(kChannelBroken);  // the parent asks for more than it takes
    Bytes elsewhere = begin_frame();
    finish_frame(elsewhere, FrameType::elsewhere, 0, 0);
    outcomes_.write(elsewhere.view());
  }
  outcomes_.publish();
  if (fits && outcomes_.must_wake()) {
    Bytes wake = begin_frame();
    finish_frame(wake, FrameType::wake, 0, 0);
    send(wake.view());
  }
  return fits;
}

// Room for more of what comes. Where there is no memory for a call's arguments, the call ends this process, and the
// parent is told why.
std::span<std::byte> WorkerChannel::space_for_more() {
  try {
    return decoder_.space();
  } catch (const std::bad_alloc&) {
    end_for_want_of_memory(decoder_.pending_call_id());
  }
}

void WorkerChannel::end_for_want_of_memory(std::uint64_t call_id) {
  status_->begun.store(call_id);
  status_->out_of_memory.store(call_id);
  ::_exit(kChannelBroken);
}

bool WorkerChannel::receive() {
  const std::span<std::byte> space = space_for_more();
  const bool with_descriptors = carries_descriptors();
  ssize_t received = 0;
  do {
    received = with_descriptors ? ::recvmsg(socket_.get(), message_.to_receive(space), MSG_CMSG_CLOEXEC)
                                : ::recv(socket_.get(), space.data(), space.size(), 0);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno != ECONNRESET) end_without_channel(errno);
  if (received <= 0) return false;
  decoder_.filled(static_cast<std::size_t>(received));
  if (with_descriptors) decoder_.came_with(message_.arrived());
  return true;
}

// The parent is gone, or a function closed what was not its own.
void WorkerChannel::end_without_channel(int error) const {
  if (error == EBADF || error == ENOTSOCK) status_->lost_channel.store(1);
  ::_exit(kChannelBroken);
}

// Gives the errno for which the kernel refused the descriptors; then nothing has been sent.
int WorkerChannel::send(const Reply& reply) {
  std::span<const std::byte> left = reply.frame.view();
  if (!reply.descriptors.empty()) {
    const msghdr* const message = message_.to_send(left, reply.descriptors);
    ssize_t sent = 0;
    do {
      sent = ::sendmsg(socket_.get(), message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EPIPE && errno != ECONNRESET && errno != EBADF && errno != ENOTSOCK) return errno;
    if (sent < 0) end_without_channel(errno);
    left = left.subspan(static_cast<std::size_t>(sent));
  }
  send(left);
  return 0;
}

void WorkerChannel::send(std::span<const std::byte> left) const {
  while (!left.empty()) {
    const ssize_t sent = ::send(socket_.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) end_without_channel(errno);
    left = left.subspan(static_cast<std::size_t>(sent));
  }
}

bool WorkerChannel::first_frame(const std::function<void(const Frame&)>& use) {
  FrameDecoder decoder(SIZE_MAX / 2);
  std::swap(decoder, decoder_);
  std::optional<Frame> frame = decoder_.next();
  while (!frame && receive()) frame = decoder_.next();
  if (frame) use(*frame);
  std::swap(decoder, decoder_);
  return frame.has_value();
}

}  // namespace leasepool::detail
