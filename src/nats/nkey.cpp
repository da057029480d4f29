// Base32 with prefix and checksum, as in https://github.com/nats-io/nkeys, and Ed25519 by OpenSSL.
#include "nats/nkey.hpp"

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace leasepool::detail::nats {

namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kSignatureSize = 64;
constexpr unsigned kSeedPrefix = 18U << 3;  // "S"
constexpr unsigned kUserPrefix = 20U << 3;  // "U"
constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

unsigned byte_of(char c) noexcept { return static_cast<unsigned char>(c); }

// CRC-16/XMODEM.
unsigned checksum(std::string_view bytes) noexcept {
  unsigned crc = 0;
  for (const char c : bytes) {
    crc ^= byte_of(c) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = ((crc << 1) ^ ((crc & 0x8000U) != 0 ? 0x1021U : 0U)) & 0xffffU;
  }
  return crc;
}

// Digits of `bits` each, without padding at the end.
std::string to_digits(std::string_view bytes, unsigned bits, std::string_view alphabet) {
  std::string text;
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  const std::uint32_t mask = (1U << bits) - 1;
  for (const char c : bytes) {
    held = (held << 8) | byte_of(c);
    for (held_bits += 8; held_bits >= bits; held_bits -= bits) text += alphabet[(held >> (held_bits - bits)) & mask];
  }
  if (held_bits != 0) text += alphabet[(held << (bits - held_bits)) & mask];
  return text;
}

std::optional<std::string> from_base32(std::string_view text) {
  std::string bytes;
  std::uint32_t held = 0;
  unsigned held_bits = 0;
  for (const char c : text) {
    const std::size_t digit = kBase32.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 5) | static_cast<std::uint32_t>(digit);
    held_bits += 5;
    if (held_bits < 8) continue;
    held_bits -= 8;
    bytes += static_cast<char>(held >> held_bits);
  }
  if (held_bits >= 5) return std::nullopt;  // a digit too many
  return bytes;
}

template <auto kFree>
struct Free {
  template <class T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;
using Signing = std::unique_ptr<EVP_MD_CTX, Free<&EVP_MD_CTX_free>>;

const unsigned char* bytes_of(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

std::optional<std::string> decode_user_seed(std::string_view seed) {
  const auto bytes = from_base32(seed);
  if (!bytes || bytes->size() != 2 + kKeySize + 2) return std::nullopt;
  const unsigned first = byte_of((*bytes)[0]);
  const unsigned second = byte_of((*bytes)[1]);
  if ((first & 0xf8U) != kSeedPrefix || (((first & 7U) << 5) | (second >> 3)) != kUserPrefix) return std::nullopt;
  const std::string_view summed = std::string_view(*bytes).substr(0, 2 + kKeySize);
  const unsigned sum = byte_of((*bytes)[2 + kKeySize]) | (byte_of((*bytes)[3 + kKeySize]) << 8);
  if (checksum(summed) != sum) return std::nullopt;
  return bytes->substr(2, kKeySize);
}

std::optional<SignedNonce> sign_nonce(std::string_view seed, std::string_view nonce) {
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed), seed.size()));
  const Signing signing(EVP_MD_CTX_new());
  std::array<unsigned char, kKeySize> public_bytes{};
  std::array<unsigned char, kSignatureSize> signature{};
  std::size_t public_size = public_bytes.size();
  std::size_t signature_size = signature.size();
  if (!key || !signing || EVP_PKEY_get_raw_public_key(key.get(), public_bytes.data(), &public_size) != 1 ||
      EVP_DigestSignInit(signing.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(signing.get(), signature.data(), &signature_size, bytes_of(nonce), nonce.size()) != 1) {
    return std::nullopt;
  }
  std::string named(1, static_cast<char>(kUserPrefix));
  named.append(reinterpret_cast<const char*>(public_bytes.data()), public_size);
  const unsigned sum = checksum(named);
  named += static_cast<char>(sum & 0xffU);
  named += static_cast<char>(sum >> 8);
  const std::string_view signed_bytes(reinterpret_cast<const char*>(signature.data()), signature_size);
  return SignedNonce{.public_key = to_digits(named, 5, kBase32), .signature = to_digits(signed_bytes, 6, kBase64Url)};
}

}  // namespace leasepool::detail::nats
