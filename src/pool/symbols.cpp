// ELF symbol tables (see elf(5)), read for the few addresses of one stack.
#include "pool/symbols.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

using Elf = ElfW(Ehdr);
using Section = ElfW(Shdr);
using Symbol = ElfW(Sym);

constexpr std::uint64_t kLargestTable = std::uint64_t{512} << 20;
constexpr std::size_t kFramesInALine = 4;

// Part of a file, or nothing if it has no such part.
template <class T>
std::vector<T> read_part(int file, std::uint64_t offset, std::uint64_t size) {
  std::vector<T> part;
  if (size > kLargestTable) return part;
  part.resize(size / sizeof(T));
  const std::size_t bytes = part.size() * sizeof(T);
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t count =
        ::pread(file, reinterpret_cast<char*>(part.data()) + done, bytes - done, static_cast<off_t>(offset + done));
    if (count <= 0) return {};
    done += static_cast<std::size_t>(count);
  }
  return part;
}

std::string readable_name(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status), std::free);
  return status == 0 ? name.get() : symbol;
}

// A name in a file's string table, which may be large: only what is needed of it is read.
std::string name_at(int file, const Section& strings, std::uint64_t at) {
  constexpr std::uint64_t kLongestSymbol = 4096;
  if (at >= strings.sh_size) return {};
  auto name = read_part<char>(file, strings.sh_offset + at, std::min(strings.sh_size - at, kLongestSymbol));
  if (name.empty()) return {};
  name.back() = '\0';
  return readable_name(name.data());
}

// Names the frames that lie in one of the table's functions.
void name_frames(int file, const Section& table, const Section& strings, const std::vector<StackFrame*>& frames) {
  for (const Symbol& symbol : read_part<Symbol>(file, table.sh_offset, table.sh_size)) {
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    for (StackFrame* const frame : frames) {
      if (frame->offset - symbol.st_value >= std::max<std::uint64_t>(symbol.st_size, 1)) continue;
      if (frame->function.empty()) frame->function = name_at(file, strings, symbol.st_name);
    }
  }
}

void name_frames(const std::string& path, const std::vector<StackFrame*>& frames) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return;
  const auto header = read_part<Elf>(file.get(), 0, sizeof(Elf));
  if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0) return;
  const auto sections =
      read_part<Section>(file.get(), header[0].e_shoff, std::uint64_t{header[0].e_shnum} * sizeof(Section));
  for (const std::uint32_t type :
       {std::uint32_t{SHT_SYMTAB}, std::uint32_t{SHT_DYNSYM}}) {  // a stripped file has the second alone
    for (const Section& section : sections) {
      if (section.sh_type != type || section.sh_link >= sections.size()) continue;
      name_frames(file.get(), section, sections[section.sh_link], frames);
    }
  }
}

// A file that this program has loaded.
struct LoadedModule {
  std::uint64_t base;
  std::string name;  // empty: the program itself
};

std::vector<LoadedModule> loaded_modules() {
  std::vector<LoadedModule> modules;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* into) {
        static_cast<std::vector<LoadedModule>*>(into)->push_back({.base = info->dlpi_addr, .name = info->dlpi_name});
        return 0;
      },
      &modules);
  return modules;
}

// What a worker wrote, as text that can be shown.
std::string printable(std::string_view text) {
  std::string shown(text.substr(0, text.find('\0')));
  std::ranges::replace_if(shown, [](char c) { return c < ' ' || c == '\x7f'; }, '?');
  return shown;
}

std::string program_path() {
  std::array<char, 4096> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "(the program)";
}

// From the call's own function on, what runs is the library's. Some names of newer compilers cannot be demangled.
void leave_out_the_library(StackTrace& stack) {
  const auto own = std::ranges::find_if(stack, [](const StackFrame& frame) {
    return frame.function.contains("leasepool::detail::") || frame.function.contains("9leasepool6detail");
  });
  if (own != stack.begin()) stack.erase(own, stack.end());
}

// "f(int) const" is "f".
std::string without_parameters(const std::string& function) {
  std::size_t open = 0;
  for (std::size_t at = function.rfind(')'); at != std::string::npos && at > 0; --at) {
    if (function[at] == ')') ++open;
    if (function[at] == '(' && --open == 0) return function.substr(0, at);
  }
  return function;
}

}  // namespace

StackTrace read_stack(const StackNote& note) {
  StackTrace stack;
  const std::size_t depth = std::min<std::uint64_t>(note.depth, StackNote::kMostFrames);
  stack.resize(depth);
  const std::vector<LoadedModule> loaded = loaded_modules();
  const std::string program = program_path();
  for (std::size_t index = 0; index < StackNote::kMostModules; ++index) {
    const StackNote::Module module = note.modules[index];
    const std::string name = printable({module.name.data(), module.name.size()});
    std::vector<StackFrame*> frames;
    for (std::size_t i = 0; i < depth; ++i) {
      if (note.frames[i].module != index) continue;
      stack[i].module = name.empty() ? program : name;
      // A caller is named by the call that it has not returned from, not by what comes after it.
      stack[i].offset = note.frames[i].address - module.base - (i == 0 ? 0 : 1);
      frames.push_back(&stack[i]);
    }
    const bool ours = std::ranges::any_of(
        loaded, [&](const LoadedModule& own) { return own.base == module.base && own.name == name; });
    if (!frames.empty() && ours) name_frames(name.empty() ? "/proc/self/exe" : name, frames);
  }
  for (std::size_t i = 0; i < depth; ++i) stack[i].address = note.frames[i].address;
  leave_out_the_library(stack);
  return stack;
}

std::string in_a_line(const StackTrace& stack) {
  std::string line;
  for (std::size_t i = 0; i < std::min(stack.size(), kFramesInALine); ++i) {
    const StackFrame& frame = stack[i];
    line += i == 0 ? "" : " < ";
    line += frame.function.empty() ? "?" : without_parameters(frame.function);
  }
  return stack.size() > kFramesInALine ? line + " < ..." : line;
}

}  // namespace leasepool::detail
