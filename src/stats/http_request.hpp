// HttpRequestReader: the requests of one HTTP/1.1 connection, from bytes as they come. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace leasepool::detail {

struct HttpRequest {
  std::string method{};
  std::string target{};  // as it was sent
  std::string host{};    // without its port; empty where none was named
  bool keeps_alive = false;
};

// One thread. Boost.Beast's parser, which holds to limits: of the header's size, and of a body, which must be empty.
class HttpRequestReader {
 public:
  static constexpr std::size_t kMaxHeader = 8192;
  enum class State { wants_more, has_request, is_broken };

  HttpRequestReader();
  HttpRequestReader(const HttpRequestReader&) = delete;
  HttpRequestReader& operator=(const HttpRequestReader&) = delete;
  ~HttpRequestReader();

  // Takes all of the bytes, or as many as there are before the end of a request. Throws std::bad_alloc.
  State add(std::span<const std::byte> bytes);

  // The request that has come; afterwards it reads the next one, of which add({}) says whether it is there already.
  [[nodiscard]] HttpRequest take();

  // Why the connection is broken, as the status of an answer: 400 Bad Request, 413 or 431.
  [[nodiscard]] unsigned status() const noexcept { return status_; }

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
  std::string left_;  // bytes that were not parsed yet
  unsigned status_ = 0;
};

// "Name: value" of a Host field, or a target's authority, without its port and the brackets of an IPv6 address.
[[nodiscard]] std::string host_without_port(std::string_view host);

// Whether it is an address, or "localhost".
[[nodiscard]] bool is_address_or_localhost(const std::string& host) noexcept;

}  // namespace leasepool::detail
