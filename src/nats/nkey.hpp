// Nkeys: Ed25519 keys of users as NATS writes them. Pure but for OpenSSL's arithmetic.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace leasepool::detail::nats {

// The 32 bytes behind a user's seed, "SU..."; nothing if it is none, or mistyped (it has a checksum).
[[nodiscard]] std::optional<std::string> decode_user_seed(std::string_view seed);

// "U...", and the signature of a text in Base64 for URLs. Nothing where OpenSSL refuses: it has no Ed25519, or no
// memory.
struct SignedNonce {
  std::string public_key;
  std::string signature;
};
[[nodiscard]] std::optional<SignedNonce> sign_nonce(std::string_view seed, std::string_view nonce);

}  // namespace leasepool::detail::nats
