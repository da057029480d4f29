// The requests of a connection: whole, in pieces, one behind the other, and what is none.
#include <span>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "stats/http_request.hpp"

using leasepool::detail::HttpRequest;
using leasepool::detail::HttpRequestReader;
using State = HttpRequestReader::State;

namespace stats_test {
namespace {

State add(HttpRequestReader& reader, std::string_view text) { return reader.add(std::as_bytes(std::span(text))); }

unsigned refused_with(std::string_view text) {
  HttpRequestReader reader;
  return add(reader, text) == State::is_broken ? reader.status() : 0;
}

constexpr std::string_view kRequest = "GET /stats.json?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nAccept: */*\r\n\r\n";

}  // namespace

TEST_CASE("a request is read whole, in pieces and behind another", "[http]") {
  HttpRequestReader reader;
  for (std::size_t i = 0; i + 1 < kRequest.size(); ++i) {
    REQUIRE(add(reader, kRequest.substr(i, 1)) == State::wants_more);
  }
  REQUIRE(add(reader, "\n") == State::has_request);
  const HttpRequest request = reader.take();
  CHECK(request.method == "GET");
  CHECK(request.target == "/stats.json?x=1");
  CHECK(request.host == "::1");
  CHECK(request.keeps_alive);
  CHECK(reader.add({}) == State::wants_more);
  REQUIRE(add(reader, std::string(kRequest) + "HEAD / HTTP/1.0\r\n\r\n") == State::has_request);
  CHECK(reader.take().method == "GET");
  REQUIRE(reader.add({}) == State::has_request);
  const HttpRequest second = reader.take();
  CHECK(second.method == "HEAD");
  CHECK(second.host.empty());
  CHECK_FALSE(second.keeps_alive);
}

TEST_CASE("what is no request here is refused, and ends the connection", "[http]") {
  CHECK(refused_with("nonsense\r\n\r\n") == 400);
  CHECK(refused_with(std::string("GET / HTTP/1.1\r\nHost: \x01\r\n\r\n")) == 400);
  CHECK(refused_with("GET / HTTP/7.7\r\n\r\n") == 400);
  CHECK(refused_with("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello") == 413);
  CHECK(refused_with("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n") == 413);
  CHECK(refused_with("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 413);
  CHECK(refused_with("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n") == 400);
  CHECK(refused_with("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n") == 400);
  CHECK(refused_with("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n") == 400);
  CHECK(refused_with("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == 400);
  CHECK(refused_with("GET / HTTP/1.1\r\nHost: a\nb: c\r\n\r\n") == 400);
  CHECK(refused_with("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refused_with("GET / x HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refused_with("G(T / HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(refused_with("GET /" + std::string(20'000, 'a')) == 431);
  CHECK(refused_with("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n") == 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 2'000; ++i) many += "X: y\r\n";
  CHECK(refused_with(many) == 431);
  CHECK(refused_with("\r\n\r\nGET / HTTP/1.1\r\nhOsT:a\r\nConnection: upgrade, Close\r\n\r\n") == 0);
  HttpRequestReader reader;
  REQUIRE(add(reader, "nonsense\r\n\r\n") == State::is_broken);
  CHECK(add(reader, kRequest) == State::is_broken);
}

TEST_CASE("a host is read without its port, and an address is told from a name", "[http]") {
  using leasepool::detail::host_without_port;
  using leasepool::detail::is_address_or_localhost;
  CHECK(host_without_port("example.org:80") == "example.org");
  CHECK(host_without_port("127.0.0.1") == "127.0.0.1");
  CHECK(host_without_port("[fe80::1]") == "fe80::1");
  CHECK(host_without_port("[").empty());
  CHECK(host_without_port("").empty());
  for (const char* const host : {"localhost", "127.0.0.1", "::1", "10.1.2.3"}) CHECK(is_address_or_localhost(host));
  for (const char* const host : {"", "example.org", "127.0.0.1.example.org", "localhost.evil"}) {
    CHECK_FALSE(is_address_or_localhost(host));
  }
}

}  // namespace stats_test
