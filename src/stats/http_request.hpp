// HttpRequestReader: the requests of one HTTP/1.1 connection (RFC 9112), from bytes as they come. Pure. It is strict,
// and knows only what is asked for here: requests without a body. The kept parsers would bring the library either
// Boost, whose inline symbols clash with another version in the same program, or code that nobody keeps any more.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace leasepool::detail {

struct HttpRequest {
  std::string method{};
  std::string target{};  // as it was sent
  std::string host{};    // without its port and the brackets of an IPv6 address; empty where none was named
  bool keeps_alive = false;
};

// One thread.
class HttpRequestReader {
 public:
  static constexpr std::size_t kMaxHeader = 8192;
  enum class State { wants_more, has_request, is_broken };

  // Takes the bytes, and says whether a request has come with them, or before them. Throws std::bad_alloc.
  State add(std::span<const std::byte> bytes);

  // The request that has come; add({}) says afterwards whether there is another.
  [[nodiscard]] HttpRequest take();

  // With which an answer says why the connection is broken: 400, 413 for a body, or 431 for too large a header.
  [[nodiscard]] unsigned status() const noexcept { return status_; }

 private:
  [[nodiscard]] unsigned parse(std::string_view header);

  std::string left_;  // what has come and was not taken
  HttpRequest request_;
  bool has_request_ = false;
  unsigned status_ = 0;
};

[[nodiscard]] std::string host_without_port(std::string_view host);

// Whether it is an address, or "localhost".
[[nodiscard]] bool is_address_or_localhost(const std::string& host) noexcept;

}  // namespace leasepool::detail
