// libFuzzer's side of one target, LEASEPOOL_FUZZ_TARGET.
// usage: fuzz_NAME [libFuzzer's own options] [CORPUS...]
//        fuzz_NAME --seeds=FOLDER    writes what the target begins with into a folder of its name there
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fuzz/targets.hpp"

namespace {

constexpr const leasepool::fuzz::Target& kTarget = leasepool::fuzz::LEASEPOOL_FUZZ_TARGET;

void write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const auto& seed : kTarget.make_seeds()) {
    std::ofstream out(folder / ("seed-" + std::to_string(++number)), std::ios::binary);
    out.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
  }
}

}  // namespace

// Names that libFuzzer gives them.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  constexpr std::string_view kSeeds = "--seeds=";
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (argument.starts_with(kSeeds)) {
      write_seeds(std::filesystem::path(argument.substr(kSeeds.size())) / kTarget.name);
      std::exit(0);
    }
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kTarget.max_size) return -1;
  kTarget.run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
