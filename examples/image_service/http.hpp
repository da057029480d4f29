// HTTP/1.1 on a leasepool::Stream: one request after the other, within limits of size and time.
#pragma once

#include <leasepool/leasepool.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct HttpLimits {
  std::uint64_t body_bytes = 0;
  std::chrono::milliseconds time{};  // for a request to arrive, and for an answer to be taken
};

struct Request {
  std::string method;
  std::string target;
  std::string body;
  bool keep_alive = true;
};

struct Response {
  int status = 200;
  std::string type = {};
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// Why a request could not be read, with the status that its sender gets.
class HttpError : public std::runtime_error {
 public:
  HttpError(int status, const std::string& why) : std::runtime_error(why), status_(status) {}
  [[nodiscard]] int status() const noexcept { return status_; }

 private:
  int status_;
};

class HttpConnection {
 public:
  HttpConnection(leasepool::Stream stream, HttpLimits limits);

  /// The next request; none when the client has hung up, or has sent nothing for as long as it may take. Throws
  /// HttpError, after which the connection can only be answered and ended; leasepool::IoError when it has broken.
  leasepool::Task<std::optional<Request>> read();

  leasepool::Task<> write(Response response, bool keep_alive);

  /// The head of a response whose body comes by and by, by write_more(), and ends with the connection.
  leasepool::Task<> write_head(Response response);
  leasepool::Task<> write_more(std::string text);

  /// Lets the client take the answer. To close while it still sends would take that from it again.
  leasepool::Task<> end();

 private:
  leasepool::Task<std::size_t> read_some(std::chrono::steady_clock::time_point until);

  leasepool::Stream stream_;
  HttpLimits limits_;
  std::string unread_;  // what came behind the last request
  std::vector<std::byte> buffer_;
};
