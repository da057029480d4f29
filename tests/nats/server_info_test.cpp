// Tests of INFO's reader: the fields, what is passed over, and what is refused.
#include "nats/server_info.hpp"

#include <random>
#include <string>

#include "catch.hpp"
#include "nats/protocol.hpp"

using leasepool::detail::nats::kMaxPayload;
using leasepool::detail::nats::parse_server_info;

TEST_CASE("INFO gives what is needed, and the rest is passed over", "[info]") {
  const auto info = parse_server_info(
      R"({"server_id":"NB\u00e4\u003c","version":"2.9.10","proto":1,"headers":true,"max_payload":2048,"x":null,)"
      R"("deep":[{"a":[1,-2.5e3,"\"]"]},[]],"tls_required":true , "tls_available":false,"nonce":"a\/b\u0041",)"
      R"("connect_urls":["1.2.3.4:4222"]} )");
  REQUIRE(info);
  CHECK(info->version == "2.9.10");
  CHECK(info->max_payload == 2048);
  CHECK(info->headers);
  CHECK(info->tls_required);
  CHECK_FALSE(info->tls_available);
  CHECK(info->nonce == "a/bA");
}

TEST_CASE("INFO without a field has what a server means by that", "[info]") {
  const auto info = parse_server_info("{}");
  REQUIRE(info);
  CHECK(info->max_payload == std::size_t{1} << 20);
  CHECK_FALSE(info->headers);
  CHECK_FALSE(info->tls_required);
  CHECK(parse_server_info(R"({"max_payload":99999999999})")->max_payload == kMaxPayload);
}

TEST_CASE("what is no such object is refused", "[info]") {
  for (const char* json : {"",
                           "{",
                           "[]",
                           "1",
                           "{}x",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\":tru}",
                           "{\"headers\":1}",
                           "{\"headers\":\"true\"}",
                           "{\"version\":2}",
                           "{\"max_payload\":\"1\"}",
                           "{\"max_payload\":-1}",
                           "{\"max_payload\":1.5}",
                           "{\"max_payload\":99999999999999999999999}",
                           "{\"a\":\"\\x\"}",
                           "{\"a\":\"\\u12\"}",
                           "{\"a\":\"\\u12g4\"}",
                           "{\"a\":\"\n\"}",
                           "{\"a\":\"x}",
                           "{\"a\":[1,]}",
                           "{\"a\":[1}",
                           "{\"a\":\"\\"}) {
    CAPTURE(json);
    CHECK_FALSE(parse_server_info(json));
  }
}

TEST_CASE("INFO that nests without end is refused before it does harm", "[info]") {
  for (const char* deeper : {"[", "{\"a\":"}) {
    std::string json = "{\"a\":";
    for (int i = 0; i < 100'000; ++i) json += deeper;
    CHECK_FALSE(parse_server_info(json));
  }
}

TEST_CASE("damaged INFO is read or refused", "[info]") {
  const std::string whole =
      R"({"version":"2.9.10","headers":true,"max_payload":1048576,"a":{"b":[1,"\u0041",null]},"nonce":"xyz"})";
  std::mt19937 random(3);
  int read = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string json = whole;
    for (auto damages = 1 + random() % 3; damages > 0; --damages) {
      json[random() % json.size()] = static_cast<char>(random() % 128);
    }
    if (random() % 4 == 0) json.resize(random() % json.size());
    read += parse_server_info(json) ? 1 : 0;
  }
  CHECK(read > 0);
  CHECK(read < 50'000);
}
