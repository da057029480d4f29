// Tests of what a file of credentials may say, and of what is said for it.
#include "nats/credentials.hpp"

#include <string>

#include "catch.hpp"
#include "nats/nkey.hpp"

namespace credentials_test {

using leasepool::Errc;
using leasepool::detail::nats::Credentials;
using leasepool::detail::nats::decode_user_seed;
using leasepool::detail::nats::Greeting;

// Of the bytes 0 to 31; the public key by OpenSSL's command line and RFC 4648.
constexpr const char* kSeed = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
constexpr const char* kPublicKey = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

Greeting said(const std::string& user, const std::string& text) {
  const auto credentials = Credentials::parse(user, text, "file");
  REQUIRE(credentials);
  Greeting greeting;
  REQUIRE(credentials->add_to(greeting, "nonce"));
  return greeting;
}

std::string refusal(const std::string& user, const std::string& text) {
  const auto credentials = Credentials::parse(user, text, "file");
  REQUIRE_FALSE(credentials);
  return credentials.error().message();
}

TEST_CASE("one line is the password of a user, or a token", "[credentials]") {
  const Greeting with_user = said("alice", "secret \r\n");
  CHECK(with_user.user == "alice");
  CHECK(with_user.password == "secret");
  CHECK(with_user.token.empty());
  const Greeting without = said("", "\ntoken");
  CHECK(without.user.empty());
  CHECK(without.password.empty());
  CHECK(without.token == "token");
  // It looks like a seed, and is none: a password all the same.
  CHECK(said("alice", "SUPER").password == "SUPER");
}

TEST_CASE("a seed signs the nonce with its key", "[credentials]") {
  const Greeting greeting = said("", std::string(kSeed) + "\n");
  CHECK(greeting.nkey == kPublicKey);
  CHECK(greeting.signature.size() == 86);
  CHECK(greeting.signature.find_first_of("+/=") == std::string::npos);
  CHECK(greeting.jwt.empty());
  CHECK(greeting.token.empty());
  // The signature is the nonce's.
  const auto credentials = Credentials::parse("", kSeed, "file");
  Greeting other;
  REQUIRE(credentials->add_to(other, "another"));
  CHECK(other.signature != greeting.signature);
  const auto nothing_to_sign = credentials->add_to(other, "");
  REQUIRE_FALSE(nothing_to_sign);
  CHECK_THAT(nothing_to_sign.error().message(), ContainsSubstring("no users with keys"));
}

TEST_CASE("a .creds file gives its JWT and signs", "[credentials]") {
  const Greeting greeting =
      said("ignored", "-----BEGIN NATS USER JWT-----\neyJ0.abc.def\n------END NATS USER JWT------\n\n"
                      "*** IMPORTANT ***\n\n-----BEGIN USER NKEY SEED-----\n" +
                          std::string(kSeed) + "\n------END USER NKEY SEED------\n");
  CHECK(greeting.jwt == "eyJ0.abc.def");
  CHECK(greeting.nkey.empty());
  CHECK(greeting.signature.size() == 86);
}

TEST_CASE("a file that says nothing of use is refused by name", "[credentials]") {
  CHECK_THAT(refusal("a", ""), ContainsSubstring("RemoteOptions::credentials_file = \"file\" is empty"));
  CHECK_THAT(refusal("a", " \n"), ContainsSubstring("is empty"));
  CHECK_THAT(refusal("a", "two\nlines"), ContainsSubstring("must be a .creds file"));
  CHECK_THAT(refusal("a", "-----BEGIN NATS USER JWT-----\nx\n------END"), ContainsSubstring("no seed"));
  CHECK_THAT(refusal("a", "-----BEGIN USER NKEY SEED-----\nSUAAAA\n------END"), ContainsSubstring("mistyped"));
  CHECK_THAT(refusal("a", "-----BEGIN USER NKEY SEED-----"), ContainsSubstring("mistyped"));
}

TEST_CASE("a seed with any character changed is none", "[credentials]") {
  REQUIRE(decode_user_seed(kSeed));
  const std::string seed = kSeed;
  for (std::size_t i = 0; i < seed.size(); ++i) {
    std::string changed = seed;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    // The last character has three bits that mean nothing.
    if (i + 1 < seed.size()) CHECK_FALSE(decode_user_seed(changed));
    CHECK_FALSE(decode_user_seed(seed.substr(0, i)));
  }
  CHECK_FALSE(decode_user_seed(seed + "A"));
  CHECK_FALSE(decode_user_seed("su" + seed.substr(2)));
}

}  // namespace credentials_test
