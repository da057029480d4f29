// The public Stream: checks, and hands over to its core.
#include "leasepool/stream.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "io/io_checks.hpp"
#include "io/socket_address.hpp"
#include "io/stream_core.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"

namespace leasepool {

namespace detail {

void cancel_io(IoOwner& owner, std::uint64_t wait) noexcept { owner.cancel_wait(wait); }

}  // namespace detail

Stream::Stream(Loop& loop, Fd fd) {
  const auto& core = detail::Access::core(loop);
  detail::check_verb(*core, "Stream", Duration::zero());
  if (!fd) throw std::invalid_argument("leasepool: Stream(): fd is empty; it needs an open descriptor");
  core_ = detail::StreamCore::make(core, std::move(fd));
}

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this != &other) {
    detail::let_go(core_);
    core_ = std::move(other.core_);
  }
  return *this;
}

Stream::~Stream() { detail::let_go(core_); }

void Stream::check(const char* verb, const IoOptions& options) const {
  if (!core_) detail::throw_closed(verb, "the Stream was moved from, or it");
  core_->check(verb, options);
}

void Stream::check(const char* verb, std::span<std::byte> buffer, const IoOptions& options) const {
  check(verb, options);
  if (buffer.empty()) {
    throw std::invalid_argument("leasepool: " + std::string(verb) +
                                "(): buffer has 0 bytes; it needs room for one at least");
  }
}

void Stream::check_delimiter(std::string_view delimiter) {
  if (delimiter.empty()) {
    throw std::invalid_argument("leasepool: read_until(): delimiter is empty; it needs one byte at least");
  }
}

detail::IoTicket Stream::begin_read(const Core& core, std::span<std::byte> buffer, IoOptions options,
                                    detail::IoCallback<std::size_t> done) {
  core->check("read", options);
  return {core, core->reader().read(detail::StreamReader::Goal::some, buffer, {}, options, std::move(done))};
}

detail::IoTicket Stream::begin_read_exactly(const Core& core, std::span<std::byte> buffer, IoOptions options,
                                            detail::IoCallback<void> done) {
  core->check("read_exactly", options);
  return {core, core->reader().read(detail::StreamReader::Goal::all, buffer, {}, options,
                                    detail::without_count(std::move(done)))};
}

detail::IoTicket Stream::begin_read_until(const Core& core, std::span<std::byte> buffer, std::string_view delimiter,
                                          IoOptions options, detail::IoCallback<std::size_t> done) {
  core->check("read_until", options);
  return {core, core->reader().read(detail::StreamReader::Goal::delimiter, buffer, std::string(delimiter), options,
                                    std::move(done))};
}

detail::IoTicket Stream::begin_write(const Core& core, detail::Parts parts, IoOptions options,
                                     detail::IoCallback<void> done) {
  core->check("write", options);
  return {core, core->writer().write(parts, options, std::move(done))};
}

void Stream::read_async(std::span<std::byte> buffer, IoOptions options, detail::IoCallback<std::size_t> done) {
  check("read_async", buffer, options);
  detail::check_io_callback("read_async", done);
  core_->reader().read(detail::StreamReader::Goal::some, buffer, {}, options, std::move(done));
}

void Stream::read_exactly_async(std::span<std::byte> buffer, IoOptions options, detail::IoCallback<void> done) {
  check("read_exactly_async", buffer, options);
  detail::check_io_callback("read_exactly_async", done);
  core_->reader().read(detail::StreamReader::Goal::all, buffer, {}, options, detail::without_count(std::move(done)));
}

void Stream::read_until_async(std::span<std::byte> buffer, std::string_view delimiter, IoOptions options,
                              detail::IoCallback<std::size_t> done) {
  check("read_until_async", buffer, options);
  check_delimiter(delimiter);
  detail::check_io_callback("read_until_async", done);
  core_->reader().read(detail::StreamReader::Goal::delimiter, buffer, std::string(delimiter), options, std::move(done));
}

void Stream::write_async(std::span<const std::byte> bytes, IoOptions options, detail::IoCallback<void> done) {
  write_async(detail::Parts(&bytes, 1), options, std::move(done));
}

void Stream::write_async(std::span<const std::span<const std::byte>> parts, IoOptions options,
                         detail::IoCallback<void> done) {
  check("write_async", options);
  detail::check_io_callback("write_async", done);
  core_->writer().write(parts, options, std::move(done));
}

void Stream::shutdown_write() {
  check("shutdown_write", {});
  if (core_->kind() == detail::StreamCore::Kind::socket) core_->writer().shut_down();
  if (::shutdown(core_->fd(), SHUT_WR) == 0) return;
  throw IoError(std::error_code(errno, std::generic_category()), core_->what("shutdown_write of"));
}

void Stream::close() noexcept {
  if (core_) core_->close();
}

int Stream::fd() const noexcept { return core_ && !core_->closed() ? core_->fd() : -1; }

Address Stream::local_address() const { return detail::address_of(fd()); }
Address Stream::peer_address() const { return detail::peer_of(fd()); }

}  // namespace leasepool
