// libFuzzer's side: one of the targets, by its name.
// usage: fuzz --target=NAME [libFuzzer's own options] [CORPUS...]
//        fuzz --list            the targets' names
//        fuzz --seeds=FOLDER    writes what each target begins with into a folder of its name there
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "fuzz/target.hpp"

namespace {

const leasepool::fuzz::Target* chosen = nullptr;

void write_seeds(const std::filesystem::path& folder) {
  for (const auto* const target : leasepool::fuzz::targets()) {
    std::filesystem::create_directories(folder / target->name);
    int number = 0;
    for (const auto& seed : target->make_seeds()) {
      std::ofstream out(folder / target->name / ("seed-" + std::to_string(++number)), std::ios::binary);
      out.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
    }
  }
}

[[noreturn]] void list(const char* why) {
  std::fputs(why, stderr);
  for (const auto* const target : leasepool::fuzz::targets()) std::puts(std::string(target->name).c_str());
  std::exit(*why == '\0' ? 0 : 2);
}

}  // namespace

// Names that libFuzzer gives them.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  constexpr std::string_view kTarget = "--target=";
  constexpr std::string_view kSeeds = "--seeds=";
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (argument == "--list") list("");
    if (argument.starts_with(kSeeds)) {
      write_seeds(argument.substr(kSeeds.size()));
      std::exit(0);
    }
    if (!argument.starts_with(kTarget)) continue;
    for (const auto* const target : leasepool::fuzz::targets()) {
      if (target->name == argument.substr(kTarget.size())) chosen = target;
    }
  }
  if (chosen == nullptr) list("--target= takes one of these:\n");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > chosen->max_size) return -1;
  chosen->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
