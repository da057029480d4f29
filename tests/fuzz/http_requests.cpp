// The requests of the stats socket.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "stats/http_request.hpp"

namespace leasepool::fuzz {

namespace http_requests_target {
namespace {

using detail::HttpRequest;
using detail::HttpRequestReader;
using State = HttpRequestReader::State;

struct Outcome {
  std::vector<HttpRequest> requests;
  unsigned status = 0;
};

void check_request(const HttpRequest& request) {
  require(!request.method.empty() && !request.target.empty(), "a request has a method and a target");
  for (const std::string* const text : {&request.method, &request.target, &request.host}) {
    require(text->find_first_of("\r\n\0 ", 0, 4) == std::string::npos || text == &request.host,
            "no space or end of a line is in a method or a target");
    require(text->size() <= HttpRequestReader::kMaxHeader, "a header has its bound");
  }
  require(request.host.find_first_of("\r\n", 0, 2) == std::string::npos, "no end of a line is in a host");
  (void)detail::is_address_or_localhost(request.host);
}

Outcome read(std::span<const std::byte> stream, std::size_t piece) {
  Outcome outcome;
  HttpRequestReader reader;
  State state = State::wants_more;
  while (state != State::is_broken && (!stream.empty() || state == State::has_request)) {
    if (state == State::has_request) {
      outcome.requests.push_back(reader.take());
      check_request(outcome.requests.back());
      state = reader.add({});
    } else {
      const auto next = stream.first(std::min(piece, stream.size()));
      stream = stream.subspan(next.size());
      state = reader.add(next);
    }
  }
  outcome.status = reader.status();
  constexpr std::array kStatuses = {0U, 400U, 413U, 431U};
  require(std::ranges::find(kStatuses, outcome.status) != kStatuses.end(), "a refusal says why");
  require((state == State::is_broken) == (outcome.status != 0), "what is refused is broken");
  return outcome;
}

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  const std::size_t piece = std::size_t{1} + input.number<std::uint8_t>();
  const auto stream = input.rest();
  const Outcome whole = read(stream, SIZE_MAX);
  const Outcome in_pieces = read(stream, piece);
  require(whole.status == in_pieces.status, "a refusal does not depend on the pieces in which a request comes");
  require(std::ranges::equal(whole.requests, in_pieces.requests,
                             [](const HttpRequest& left, const HttpRequest& right) {
                               return left.method == right.method && left.target == right.target &&
                                      left.host == right.host && left.keeps_alive == right.keeps_alive;
                             }),
          "requests do not depend on the pieces in which they come");
}

std::vector<detail::Bytes> make_seeds() {
  std::vector<detail::Bytes> seeds;
  for (const std::string_view text :
       {"\x07GET /stats.json?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: */*\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
        "\x01GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9\r\nConnection: keep-alive, Upgrade\r\n\r\n\r\n",
        "\x20POST / HTTP/1.1\r\nhOsT: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "\x03GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    seeds.emplace_back().append(as_bytes(text));
  }
  return seeds;
}

}  // namespace
}  // namespace http_requests_target

constinit const Target kHttpRequests{.name = "http_requests",
                                     .max_size = 10'000,
                                     .run = http_requests_target::run,
                                     .make_seeds = http_requests_target::make_seeds};

}  // namespace leasepool::fuzz
