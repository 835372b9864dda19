#include <algorithm>
#include <fstream>
#include <set>

#include "sipnat/netfilter/probe.h"

namespace sipnat::netfilter {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
    const auto begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

std::string_view take_word(std::string_view& text) {
    text = trimmed(text);
    const auto word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
}

/// The kernel's own spelling: modprobe takes dashes and underscores for the same.
std::string underscored(std::string_view module) {
    std::string name(module);
    std::ranges::replace(name, '-', '_');
    return name;
}

void scan_file(const std::filesystem::path& path, std::span<const std::string_view> modules,
               std::vector<ModuleBlock>& found) {
    std::ifstream file(path);
    std::string line;
    int number = 0;
    while (std::getline(file, line)) {
        const int first = ++number;
        std::string next;
        while (!line.empty() && line.back() == '\\' && std::getline(file, next)) {
            line.back() = ' ';
            line += next;
            ++number;
        }
        // modprobe.d(5): comments are whole lines only.
        const std::string_view text = trimmed(line);
        std::string_view rest = text;
        const auto keyword = take_word(rest);
        if (keyword != "blacklist" && keyword != "install") {
            continue;
        }
        const std::string module = underscored(take_word(rest));
        if (std::ranges::find(modules, module) != modules.end()) {
            found.push_back({module, path, first, std::string(text)});
        }
    }
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code ignored;
    std::filesystem::directory_iterator entry(folder, ignored);
    const std::filesystem::directory_iterator end;
    for (; !ignored && entry != end; entry.increment(ignored)) {
        if (entry->path().extension() == ".conf") {
            files.push_back(entry->path());
        }
    }
    std::ranges::sort(files);
    return files;
}

}  // namespace

std::vector<ModuleBlock> find_module_blocks(std::span<const std::filesystem::path> folders,
                                            std::span<const std::string_view> modules) {
    std::vector<ModuleBlock> found;
    std::set<std::filesystem::path> names;
    for (const auto& folder : folders) {
        for (const auto& file : files_of(folder)) {
            // The same name in an earlier folder replaces this file (an empty one switches it off).
            if (names.insert(file.filename()).second) {
                scan_file(file, modules, found);
            }
        }
    }
    return found;
}

}  // namespace sipnat::netfilter
