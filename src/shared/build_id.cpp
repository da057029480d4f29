// The notes of loaded files.
#include "shared/build_id.hpp"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "leasepool/detail/registry.hpp"

namespace leasepool::detail {

namespace {

// Notes are padded to so many bytes.
constexpr std::size_t kPadding = 4;

std::size_t padded(std::size_t size) { return (size + kPadding - 1) / kPadding * kPadding; }

std::optional<std::string_view> id_in_notes(std::string_view notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes.data(), sizeof header);
    notes.remove_prefix(sizeof header);
    const std::size_t name = padded(header.n_namesz);
    const std::size_t whole = name + padded(header.n_descsz);
    if (whole > notes.size()) return std::nullopt;
    if (header.n_type == NT_GNU_BUILD_ID && notes.starts_with(std::string_view("GNU\0", 4))) {
      return notes.substr(name, header.n_descsz);
    }
    notes.remove_prefix(whole);
  }
  return std::nullopt;
}

struct Looking {
  std::span<const std::uintptr_t> addresses;
  std::uint64_t hash = 0;
  bool any = false;
  bool lacks_one = false;

  void take(const dl_phdr_info& file) {
    const std::span segments(file.dlpi_phdr, file.dlpi_phnum);
    any = true;
    for (const ElfW(Phdr) & segment : segments) {
      if (segment.p_type != PT_NOTE) continue;
      // Where the loader has put it. NOLINTNEXTLINE(performance-no-int-to-ptr)
      const auto* const begin = reinterpret_cast<const char*>(file.dlpi_addr + segment.p_vaddr);
      if (const auto id = id_in_notes({begin, segment.p_memsz})) {
        hash += function_id(*id);  // the order of files is of no account
        return;
      }
    }
    lacks_one = true;
  }
  [[nodiscard]] bool has_one_in(const dl_phdr_info& file) const {
    return std::ranges::any_of(std::span(file.dlpi_phdr, file.dlpi_phnum), [&](const ElfW(Phdr) & segment) {
      const std::uintptr_t begin = file.dlpi_addr + segment.p_vaddr;
      return segment.p_type == PT_LOAD && std::ranges::any_of(addresses, [&](std::uintptr_t address) {
               return address >= begin && address - begin < segment.p_memsz;
             });
    });
  }
};

}  // namespace

std::uint64_t build_of(std::span<const std::uintptr_t> addresses) {
  Looking looking{.addresses = addresses};
  ::dl_iterate_phdr(
      [](dl_phdr_info* file, std::size_t, void* data) {
        auto& looks = *static_cast<Looking*>(data);
        const bool is_program = looks.addresses.empty() && !looks.any;  // which comes first
        if (is_program || looks.has_one_in(*file)) looks.take(*file);
        return 0;
      },
      &looking);
  return looking.lacks_one ? 0 : looking.hash;
}

std::string build_text(std::uint64_t build) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, build >>= 4U) *digit = kDigits[build & 15U];
  return text;
}

}  // namespace leasepool::detail
