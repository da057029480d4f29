// Tests of Bytes, ByteWriter and ByteReader: growth, and that neither end of a buffer is passed.
#include "leasepool/detail/bytes.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"

using leasepool::detail::ByteReader;
using leasepool::detail::Bytes;
using leasepool::detail::ByteWriter;
using leasepool::detail::DecodeError;

namespace {

std::string text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

void append(Bytes& bytes, std::string_view text) { bytes.append(text.data(), text.size()); }

}  // namespace

TEST_CASE("bytes keep what they hold while they grow", "[bytes]") {
  Bytes bytes;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece = std::to_string(i);
    append(bytes, piece);
    expected += piece;
  }
  CHECK(text_of(bytes) == expected);
  const std::size_t capacity = bytes.capacity();
  bytes.resize(10);
  CHECK(text_of(bytes) == expected.substr(0, 10));
  CHECK(bytes.capacity() == capacity);
  append(bytes, "");
  CHECK(bytes.size() == 10);
}

TEST_CASE("moved-from bytes are empty and can be used again", "[bytes]") {
  Bytes from;
  append(from, "abc");
  Bytes to(std::move(from));
  CHECK(text_of(to) == "abc");
  CHECK(from.size() == 0);      // NOLINT(bugprone-use-after-move): moved-from bytes are empty
  CHECK(from.capacity() == 0);  // NOLINT(bugprone-use-after-move)
  append(from, "d");
  to = std::move(from);
  CHECK(text_of(to) == "d");
}

TEST_CASE("a writer stops at its limit but counts on, so that an error can name the size", "[bytes]") {
  Bytes out;
  append(out, "head");
  ByteWriter writer(out, 6);
  writer.write("abc", 3);
  writer.write("def", 3);
  CHECK(writer.fits());
  CHECK(text_of(out) == "headabcdef");
  writer.write("g", 1);
  writer.write("hijk", 4);
  CHECK_FALSE(writer.fits());
  CHECK(writer.written() == 11);
  CHECK(text_of(out) == "headabcdef");
}

TEST_CASE("a reader gives all bytes and throws instead of leaving them", "[bytes]") {
  Bytes bytes;
  append(bytes, "abcdef");
  ByteReader reader(bytes.view());
  char into[8] = {};
  reader.read(into, 4);
  CHECK(std::string_view(into, 4) == "abcd");
  CHECK(reader.left() == 2);
  CHECK_THROWS_AS(reader.read(into, 3), DecodeError);
  CHECK_THROWS_AS(reader.read(into, static_cast<std::size_t>(-1)), DecodeError);
  CHECK(reader.left() == 2);
  reader.read(into, 2);
  CHECK(std::string_view(into, 2) == "ef");
  reader.read(nullptr, 0);
  CHECK_THROWS_AS(reader.read(into, 1), DecodeError);
}
