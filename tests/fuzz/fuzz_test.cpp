// Each target on its corpus, and on random changes of that: the same ones on each run.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "catch.hpp"
#include "fuzz/targets.hpp"

namespace fuzz_test {

using Bytes = std::vector<std::byte>;
using leasepool::fuzz::Target;

namespace {

// What is changed may be slow, and a sanitizer makes everything slower: so many times, or for so long.
constexpr int kMostChanges = 2000;
constexpr auto kMostTime = std::chrono::milliseconds(500);

Bytes read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<char> text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  REQUIRE(in);
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// So that one which breaks its target can go into the corpus: LEASEPOOL_FUZZ_KEEP names the file.
void keep(const Bytes& input) {
  const char* const file = std::getenv("LEASEPOOL_FUZZ_KEEP");
  if (file == nullptr) return;
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
}

std::vector<Bytes> corpus_of(const Target& target) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(std::filesystem::path(LEASEPOOL_CORPUS) / target.name)) {
    files.push_back(file.path());
  }
  std::ranges::sort(files);
  std::vector<Bytes> corpus;
  for (const auto& file : files) corpus.push_back(read(file));
  return corpus;
}

// A byte, a bit, a number at an end of its range, a piece cut out, or one of another input put in.
void change(Bytes& bytes, const std::vector<Bytes>& corpus, std::minstd_rand& random) {
  const auto at = [&](const Bytes& of) { return static_cast<std::ptrdiff_t>(random() % of.size()); };
  if (bytes.empty()) bytes.push_back(std::byte{0});
  const auto place = bytes.begin() + at(bytes);
  switch (random() % 5) {
    case 0: *place = static_cast<std::byte>(random()); break;
    case 1: *place ^= static_cast<std::byte>(1U << random() % 8); break;
    case 2: {
      const auto size = std::min<std::ptrdiff_t>(std::ptrdiff_t{1} << random() % 4, bytes.end() - place);
      std::fill_n(place, size, random() % 2 == 0 ? std::byte{0xff} : std::byte{0});
      break;
    }
    case 3: bytes.erase(place, place + static_cast<std::ptrdiff_t>(random() % 16) % (bytes.end() - place)); break;
    default: {
      const Bytes& other = corpus[random() % corpus.size()];
      if (other.empty()) break;
      const auto begin = other.begin() + at(other);
      bytes.insert(place, begin, begin + static_cast<std::ptrdiff_t>(random() % 64) % (other.end() - begin));
    }
  }
}

}  // namespace

TEST_CASE("what reads the bytes of others holds, whatever they are", "[fuzz]") {
  const Target& target = *GENERATE(from_range(leasepool::fuzz::targets().begin(), leasepool::fuzz::targets().end()));
  CAPTURE(target.name);
  const std::vector<Bytes> corpus = corpus_of(target);
  REQUIRE_FALSE(corpus.empty());
  for (const Bytes& input : corpus) target.run(input);

  std::minstd_rand random(20);
  const auto end = std::chrono::steady_clock::now() + kMostTime;
  int changed = 0;
  for (; changed < kMostChanges && std::chrono::steady_clock::now() < end; ++changed) {
    CAPTURE(changed);
    Bytes input = corpus[random() % corpus.size()];
    for (auto changes = 1 + random() % 4; changes > 0; --changes) change(input, corpus, random);
    input.resize(std::min(input.size(), target.max_size));
    keep(input);
    target.run(input);
  }
  CHECK(changed > 0);
}

}  // namespace fuzz_test
