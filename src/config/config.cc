#include "sipnat/config/config.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace sipnat::config {

namespace {

constexpr int kLastQueue = 65535;
constexpr int kMostQueues = 16;
constexpr std::size_t kMostAddresses = 64;
constexpr std::size_t kMostPeers = 16;  // each costs an expectation for each Contact
constexpr std::size_t kMostOutside = 16;
constexpr std::size_t kMostNetworks = 64;
constexpr std::size_t kLongestInterface = 15;  // IFNAMSIZ - 1

std::string quoted(std::string_view text) {
    return "\"" + std::string(text) + "\"";
}

/// "500/20000": of one host, of all.
std::optional<std::pair<std::size_t, std::size_t>> parse_limits(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto count = [](std::string_view digits) -> std::optional<std::size_t> {
        std::size_t value = 0;
        const auto* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, value);
        if (error != std::errc{} || stop != end || value == 0 || value > 1'000'000) {
            return std::nullopt;
        }
        return value;
    };
    const auto host = count(text.substr(0, slash));
    const auto all = count(text.substr(slash + 1));
    if (!host || !all || *host > *all) return std::nullopt;
    return std::pair{*host, *all};
}

bool is_beyond_last(const QueueConfiguration& queue) {
    return queue.first + queue.count - 1 > kLastQueue;
}

enum class Families : std::uint8_t { both, ipv4_only };

/// Reads one file's tables and collects what is wrong with them.
class Reader {
  public:
    Reader(const toml::table& root, std::string file) : root_(root), file_(std::move(file)) {}

    void section(const char* name, const std::vector<const char*>& settings) {
        sections_.insert(name);
        const auto* node = root_.get(name);
        if (node == nullptr) return;
        const auto* table = node->as_table();
        if (table == nullptr) {
            fault(node, std::string(name) + " has to be a section: [" + name + "]");
            return;
        }
        for (const auto& [key, value] : *table) {
            const bool known = std::ranges::any_of(
                settings, [&](const char* setting) { return key.str() == setting; });
            if (!known)
                fault(&value,
                      std::string(name) + "." + std::string(key.str()) + ": no such setting");
        }
    }

    void no_other_sections() {
        for (const auto& [key, value] : root_) {
            if (!sections_.contains(std::string(key.str()))) {
                fault(&value, std::string(key.str()) + ": no such section");
            }
        }
    }

    /// `accept` puts the value in its place, or returns what it should have been.
    template <class T, class Accept>
    void setting(const char* section, const char* name, const char* kind, Accept accept) {
        const auto* node = root_[section][name].node();
        if (node == nullptr) return;
        const auto full_name = std::string(section) + "." + name;
        const auto value = node->value_exact<T>();
        if (!value) {
            fault(node, full_name + ": has to be " + kind);
            return;
        }
        if (const std::optional<std::string> wrong = accept(*value)) {
            fault(node, full_name + ": " + *wrong);
        }
    }

    void boolean(const char* section, const char* name, bool& place) {
        setting<bool>(section, name, "true or false", [&](bool value) {
            place = value;
            return std::nullopt;
        });
    }

    template <class Enum>
    void choice(const char* section, const char* name,
                const std::vector<std::pair<std::string, Enum>>& choices, Enum& place) {
        setting<std::string>(section, name, "a string",
                             [&](const std::string& value) -> std::optional<std::string> {
                                 std::string all;
                                 for (const auto& [word, meaning] : choices) {
                                     if (value == word) {
                                         place = meaning;
                                         return std::nullopt;
                                     }
                                     all += (all.empty() ? "" : " or ") + quoted(word);
                                 }
                                 return quoted(value) + " is not " + all;
                             });
    }

    template <class Integer>
    void integer(const char* section, const char* name, std::int64_t low, std::int64_t high,
                 Integer& place) {
        setting<std::int64_t>(section, name, "a whole number",
                              [&](std::int64_t value) -> std::optional<std::string> {
                                  if (value < low || value > high) {
                                      return std::to_string(value) + " is not from " +
                                             std::to_string(low) + " to " + std::to_string(high);
                                  }
                                  place = static_cast<Integer>(value);
                                  return std::nullopt;
                              });
    }

    void path(const char* section, const char* name, std::string& place) {
        setting<std::string>(section, name, "a string",
                             [&](const std::string& value) -> std::optional<std::string> {
                                 if (!value.starts_with('/')) {
                                     return quoted(value) + " is not an absolute path";
                                 }
                                 place = value;
                                 return std::nullopt;
                             });
    }

    void ports(const char* section, const char* name, std::size_t fewest,
               std::vector<Port>& place) {
        const auto* node = root_[section][name].node();
        if (node == nullptr) return;
        const auto full_name = std::string(section) + "." + name;
        const auto* array = node->as_array();
        if (array == nullptr || array->size() < fewest || array->size() > 16) {
            fault(node,
                  full_name + ": has to be a list of " + std::to_string(fewest) + " to 16 ports");
            return;
        }
        std::vector<Port> ports;
        for (const auto& element : *array) {
            const auto value = element.value_exact<std::int64_t>();
            if (!value || *value < 1 || *value > 65535) {
                fault(&element, full_name + ": has to hold ports from 1 to 65535");
                return;
            }
            ports.push_back(static_cast<Port>(*value));
        }
        std::ranges::sort(ports);
        ports.erase(std::ranges::unique(ports).begin(), ports.end());
        place = std::move(ports);
    }

    void addresses(const char* section, const char* name, std::size_t most,
                   std::vector<IpAddress>& place) {
        const auto* node = root_[section][name].node();
        if (node == nullptr) return;
        const auto full_name = std::string(section) + "." + name;
        const auto* array = node->as_array();
        if (array == nullptr || array->size() > most) {
            fault(node,
                  full_name + ": has to be a list of up to " + std::to_string(most) + " addresses");
            return;
        }
        std::vector<IpAddress> addresses;
        for (const auto& element : *array) {
            const auto value = element.value_exact<std::string>();
            const auto address = value ? IpAddress::parse(*value) : std::nullopt;
            if (!address || !address->is_host()) {
                fault(&element, full_name + ": has to hold addresses like \"192.168.1.5\"");
                return;
            }
            if (std::ranges::find(addresses, *address) == addresses.end()) {
                addresses.push_back(*address);
            }
        }
        place = std::move(addresses);
    }

    /// A list of lists of networks.
    void network_groups(const char* section, const char* name,
                        std::vector<std::vector<Network>>& place) {
        const auto* node = find(section, name);
        if (node == nullptr) return;
        const auto full_name = std::string(section) + "." + name;
        const auto* groups = node->as_array();
        if (groups == nullptr || groups->size() > kMostNetworks) {
            fault(node, full_name +
                            ": has to be a list of groups like [[\"192.168.1.0/24\", "
                            "\"192.168.2.0/24\"]]");
            return;
        }
        place.clear();
        for (const auto& group : *groups)
            networks(group, full_name, Families::both, place.emplace_back());
    }

    void networks(const toml::node& node, const std::string& full_name, Families families,
                  std::vector<Network>& place) {
        const auto* array = node.as_array();
        if (array == nullptr || array->empty() || array->size() > kMostNetworks) {
            fault(&node, full_name + ": has to be a list of 1 to " + std::to_string(kMostNetworks) +
                             " networks");
            return;
        }
        for (const auto& element : *array) {
            const auto text = element.value_exact<std::string>();
            const auto network = text ? Network::parse(*text) : std::nullopt;
            if (network &&
                (families == Families::both || network->address().family() == Family::ipv4)) {
                place.push_back(*network);
                continue;
            }
            fault(&element, full_name + ": " + (text ? quoted(*text) : "an element") + " is not " +
                                (families == Families::both ? "a" : "an IPv4") +
                                " network as \"192.168.77.0/24\"");
        }
    }

    /// The tables of [[name]], in order; each is told its own node.
    template <class Read>
    void tables(const char* name, std::size_t most, Read read) {
        sections_.insert(name);
        const auto* node = root_.get(name);
        if (node == nullptr) return;
        const auto* array = node->as_array();
        if (array == nullptr || !array->is_homogeneous<toml::table>() || array->size() > most) {
            fault(node, std::string(name) + " has to be 1 to " + std::to_string(most) +
                            " tables: [[" + name + "]]");
            return;
        }
        for (const auto& element : *array)
            read(*element.as_table());
    }

    void fault(const toml::node* node, std::string text) {
        faults_.push_back({file_, static_cast<int>(node->source().begin.line), std::move(text)});
    }
    [[nodiscard]] const toml::node* find(const char* section, const char* name) const {
        return root_[section][name].node();
    }
    /// In the order of the file.
    [[nodiscard]] std::vector<Fault> faults() && {
        std::ranges::stable_sort(faults_, {}, &Fault::line);
        return std::move(faults_);
    }

  private:
    const toml::table& root_;
    std::string file_;
    std::set<std::string> sections_;
    std::vector<Fault> faults_;
};

/// Reads one [[outside]]; every one of its settings but `except` has to be there.
class OutsideReader {
  public:
    OutsideReader(Reader& reader, const toml::table& table) : reader_(reader), table_(table) {}

    [[nodiscard]] Outside read() {
        for (const auto& [key, value] : table_) {
            const auto name = key.str();
            if (name != "interface" && name != "address" && name != "inside" && name != "except") {
                reader_.fault(&value, "outside." + std::string(name) + ": no such setting");
            }
        }
        Outside outside;
        read_text("interface", [&](const std::string& value) -> std::optional<std::string> {
            const bool is_name = !value.empty() && value.size() <= kLongestInterface &&
                                 value.find_first_of("/\"\\* \t") == std::string::npos;
            if (!is_name) return quoted(value) + " is not an interface's name";
            outside.interface = value;
            return std::nullopt;
        });
        read_text("address", [&](const std::string& value) -> std::optional<std::string> {
            const auto address = IpAddress::parse(value);
            if (!address || address->family() != Family::ipv4 || address->is_unspecified() ||
                address->is_multicast() || address->is_loopback()) {
                return quoted(value) + " is not an IPv4 address of the gateway's";
            }
            outside.address = *address;
            return std::nullopt;
        });
        if (find("inside") != nullptr) read_networks("inside", outside.inside);
        if (table_.contains("except")) read_networks("except", outside.except);
        const auto has_own = [&](const Network& one) { return one.contains(outside.address); };
        if (!outside.address.is_unspecified() && std::ranges::any_of(outside.inside, has_own)) {
            reader_.fault(table_.get("inside"), "outside.inside: holds outside.address itself");
        }
        return outside;
    }

  private:
    const toml::node* find(const char* name) {
        const auto* node = table_.get(name);
        if (node == nullptr) {
            reader_.fault(&table_, std::string("outside.") + name + " is missing");
        }
        return node;
    }

    template <class Accept>
    void read_text(const char* name, Accept accept) {
        const auto* node = find(name);
        if (node == nullptr) return;
        const auto value = node->value_exact<std::string>();
        const std::optional<std::string> wrong = value ? accept(*value) : "has to be a string";
        if (wrong) reader_.fault(node, std::string("outside.") + name + ": " + *wrong);
    }

    void read_networks(const char* name, std::vector<Network>& place) {
        reader_.networks(*table_.get(name), std::string("outside.") + name, Families::ipv4_only,
                         place);
    }

    Reader& reader_;
    const toml::table& table_;
};

void read_outside(Reader& reader, std::vector<Outside>& all) {
    reader.tables("outside", kMostOutside, [&](const toml::table& table) {
        auto outside = OutsideReader(reader, table).read();
        const auto same = [&](const Outside& other) {
            return other.address == outside.address && !outside.address.is_unspecified();
        };
        if (std::ranges::any_of(all, same)) {
            reader.fault(table.get("address"),
                         "outside.address: " + outside.address.text() + " is there twice");
        }
        all.push_back(std::move(outside));
    });
}

void read_mode(Reader& reader, Configuration& configuration) {
    reader.choice<ModeSetting>("nat", "mode",
                               {{"auto", ModeSetting::automatic},
                                {"expectations", ModeSetting::expectations},
                                {"maps", ModeSetting::maps}},
                               configuration.mode);
    constexpr auto kAll = std::numeric_limits<std::uint32_t>::max();
    auto& mark = configuration.mark;
    reader.integer("nat", "mark", 0, kAll, mark.mark);
    reader.integer("nat", "mask", 0, kAll, mark.mask);
    if ((mark.mark & ~mark.mask) != 0) {
        reader.fault(reader.find("nat", "mark"), "nat.mark: has bits that nat.mask has not");
    }
}

/// "90s", "5m", "1h".
std::optional<std::chrono::seconds> parse_timeout(const std::string& text) {
    constexpr std::size_t kMostDigits = 6;
    const auto digits = text.substr(0, text.find_first_not_of("0123456789"));
    const auto unit = text.substr(digits.size());
    if (digits.empty() || digits.size() > kMostDigits) return std::nullopt;
    const int number = std::stoi(digits);
    std::chrono::seconds time{0};
    if (unit == "s") time = std::chrono::seconds(number);
    if (unit == "m") time = std::chrono::minutes(number);
    if (unit == "h") time = std::chrono::hours(number);
    if (time < kShortestTimeout || time > kLongestTimeout) return std::nullopt;
    return time;
}

void read_timeout(Reader& reader, const char* name, std::chrono::seconds& place) {
    reader.setting<std::string>(
        "nat", name, "a string", [&](const std::string& value) -> std::optional<std::string> {
            const auto time = parse_timeout(value);
            if (!time) {
                return quoted(value) + " is not a time from \"30s\" to \"24h\"";
            }
            place = *time;
            return std::nullopt;
        });
}

void read_nat(Reader& reader, Configuration& configuration) {
    auto& settings = configuration.settings;
    reader.section("nat", {"media_ports", "keep_ports", "on_no_media", "media_hosts", "gateway_pbx",
                           "rewrite_request_uri", "signalling_source", "signalling_peers", "mode",
                           "mark", "mask", "media_timeout", "hold_timeout", "local_media",
                           "media_source", "local_networks"});
    reader.setting<std::string>("nat", "media_ports", "a string",
                                [&](const std::string& value) -> std::optional<std::string> {
                                    const auto range = parse_media_ports(value);
                                    if (!range) {
                                        return quoted(value) +
                                               " is not \"LOW-HIGH\" with ports from 1024 to 65535";
                                    }
                                    settings.media_ports = *range;
                                    return std::nullopt;
                                });
    reader.boolean("nat", "keep_ports", settings.keep_ports);
    read_timeout(reader, "media_timeout", settings.media_timeout);
    read_timeout(reader, "hold_timeout", settings.hold_timeout);
    reader.addresses("nat", "media_hosts", kMostAddresses, settings.media_hosts);
    reader.choice<OnNoMedia>("nat", "on_no_media",
                             {{"headers", OnNoMedia::headers},
                              {"unchanged", OnNoMedia::unchanged},
                              {"drop", OnNoMedia::drop}},
                             settings.on_no_media);
    reader.boolean("nat", "gateway_pbx", configuration.gateway_pbx);
    reader.choice<RewriteRequestUri>("nat", "rewrite_request_uri",
                                     {{"always", RewriteRequestUri::always},
                                      {"unless_digest", RewriteRequestUri::unless_digest}},
                                     settings.rewrite_request_uri);
    reader.choice<SignallingSource>("nat", "signalling_source",
                                    {{"registrar", SignallingSource::registrar},
                                     {"listed", SignallingSource::listed},
                                     {"any", SignallingSource::any}},
                                    settings.signalling_source);
    reader.addresses("nat", "signalling_peers", kMostPeers, settings.signalling_peers);
    reader.choice<MediaSource>(
        "nat", "media_source",
        {{"strict", MediaSource::strict}, {"latch", MediaSource::latch}, {"any", MediaSource::any}},
        settings.media_source);
    reader.choice<LocalMedia>("nat", "local_media",
                              {{"direct", LocalMedia::direct}, {"hairpin", LocalMedia::hairpin}},
                              settings.local_media);
    reader.network_groups("nat", "local_networks", settings.local_networks);
}

void read_limits(Reader& reader, Settings& settings) {
    reader.section("limits", {"dialogs", "media", "bindings"});
    const auto limits = [&reader](const char* name, std::size_t& of_host, std::size_t& of_all) {
        reader.setting<std::string>(
            "limits", name, "a string",
            [&](const std::string& value) -> std::optional<std::string> {
                const auto both = parse_limits(value);
                if (!both) {
                    return quoted(value) +
                           " is not \"EACH-HOST/ALL\" with numbers from 1 to 1000000";
                }
                std::tie(of_host, of_all) = *both;
                return std::nullopt;
            });
    };
    limits("dialogs", settings.calls_per_host, settings.calls);
    limits("media", settings.media_per_host, settings.media);
    limits("bindings", settings.bindings_per_host, settings.bindings);
}

void read_queue(Reader& reader, QueueConfiguration& queue) {
    reader.section("queue", {"first", "count", "fail_open", "receive_buffer"});
    reader.integer("queue", "first", 0, kLastQueue, queue.first);
    reader.integer("queue", "count", 1, kMostQueues, queue.count);
    reader.boolean("queue", "fail_open", queue.fail_open);
    reader.integer("queue", "receive_buffer", kSmallestBuffer, kLargestBuffer,
                   queue.receive_buffer);
}

/// What only several settings together can get wrong.
void check_together(Reader& reader, const Configuration& configuration) {
    const auto& range = configuration.settings.media_ports;
    for (const auto& [name, ports] : {std::pair("udp_ports", &configuration.udp_ports),
                                      std::pair("tcp_ports", &configuration.tcp_ports)}) {
        for (const auto port : *ports) {
            if (port < range.low || port > range.high) continue;
            const auto* node = reader.find("sip", name);
            if (node == nullptr) node = reader.find("nat", "media_ports");
            reader.fault(node, "sip." + std::string(name) + ": " + std::to_string(number(port)) +
                                   " lies in nat.media_ports: media could take it");
        }
    }
    if (is_beyond_last(configuration.queue)) {
        reader.fault(reader.find("queue", "first"), "queue.first: the last queue is over 65535");
    }
    const auto& settings = configuration.settings;
    if (settings.signalling_source == SignallingSource::listed &&
        settings.signalling_peers.empty()) {
        reader.fault(reader.find("nat", "signalling_source"),
                     "nat.signalling_source: \"listed\" needs nat.signalling_peers");
    }
    if (configuration.mode == ModeSetting::maps && configuration.outside.empty()) {
        reader.fault(reader.find("nat", "mode"), "nat.mode: \"maps\" needs an [[outside]]");
    }
}

Fault environment_fault(const char* name, const std::string& value, const std::string& should_be) {
    return {std::string("environment variable ") + name, 0, quoted(value) + " is not " + should_be};
}

}  // namespace

std::string Fault::message() const {
    return file + (line > 0 ? ":" + std::to_string(line) : "") + ": " + text;
}

Checked<Configuration> parse(const std::string& text, const std::string& file) {
    const auto parsed = toml::parse(text, file);
    if (!parsed) {
        const auto& error = parsed.error();
        return tl::unexpected(std::vector{Fault{file, static_cast<int>(error.source().begin.line),
                                                std::string(error.description())}});
    }
    Reader reader(parsed.table(), file);
    Configuration configuration;
    auto& settings = configuration.settings;

    reader.section("sip", {"udp_ports", "tcp_ports", "on_malformed"});
    reader.ports("sip", "udp_ports", 1, configuration.udp_ports);
    reader.ports("sip", "tcp_ports", 0, configuration.tcp_ports);
    reader.choice<OnMalformed>("sip", "on_malformed",
                               {{"accept", OnMalformed::accept}, {"drop", OnMalformed::drop}},
                               settings.on_malformed);
    read_nat(reader, configuration);
    read_mode(reader, configuration);
    read_outside(reader, configuration.outside);
    read_queue(reader, configuration.queue);
    read_limits(reader, settings);
    reader.section("paths", {"state", "socket", "ruleset", "maps_ruleset"});
    reader.path("paths", "state", configuration.paths.state);
    reader.path("paths", "socket", configuration.paths.socket);
    reader.path("paths", "ruleset", configuration.paths.ruleset);
    reader.path("paths", "maps_ruleset", configuration.paths.maps_ruleset);
    reader.no_other_sections();
    check_together(reader, configuration);

    auto faults = std::move(reader).faults();
    if (!faults.empty()) return tl::unexpected(std::move(faults));
    return configuration;
}

Checked<Configuration> load(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    stream.peek();  // a directory can be opened, and fails at its first byte
    if (!stream) return tl::unexpected(std::vector{Fault{file, 0, "can't be read"}});
    std::ostringstream text;
    text << stream.rdbuf();
    return parse(text.str(), file);
}

Checked<Configuration> with_environment(Configuration configuration,
                                        const Environment& environment) {
    std::vector<Fault> faults;
    const auto path = [&](const char* name, std::string& place) {
        const auto value = environment(name);
        if (!value) return;
        if (value->starts_with('/')) {
            place = *value;
        } else {
            faults.push_back(environment_fault(name, *value, "an absolute path"));
        }
    };
    const auto integer = [&](const char* name, int low, int high, std::uint16_t& place) {
        const auto value = environment(name);
        if (!value) return;
        const auto parsed = parse_port(*value);  // a 16-bit number
        if (parsed && number(*parsed) >= low && number(*parsed) <= high) {
            place = number(*parsed);
        } else {
            const auto range = "from " + std::to_string(low) + " to " + std::to_string(high);
            faults.push_back(environment_fault(name, *value, range));
        }
    };
    path("SIPNAT_STATE", configuration.paths.state);
    path("SIPNAT_SOCKET", configuration.paths.socket);
    path("SIPNAT_RULESET", configuration.paths.ruleset);
    path("SIPNAT_MAPS_RULESET", configuration.paths.maps_ruleset);
    integer("SIPNAT_QUEUE_FIRST", 0, kLastQueue, configuration.queue.first);
    integer("SIPNAT_QUEUE_COUNT", 1, kMostQueues, configuration.queue.count);
    if (faults.empty() && is_beyond_last(configuration.queue)) {
        faults.push_back({"environment", 0, "the last queue is over 65535"});
    }
    if (const auto value = environment("SIPNAT_QUEUE_FAIL_OPEN")) {
        configuration.queue.fail_open = *value == "true";
        if (*value != "true" && *value != "false") {
            faults.push_back(environment_fault("SIPNAT_QUEUE_FAIL_OPEN", *value, "true or false"));
        }
    }
    if (!faults.empty()) return tl::unexpected(std::move(faults));
    return configuration;
}

Checked<Configuration> load_with_environment(const std::string& file) {
    return load(file).and_then([](const Configuration& loaded) {
        return with_environment(loaded, [](const char* name) -> std::optional<std::string> {
            const char* value = std::getenv(name);
            return value == nullptr ? std::nullopt : std::optional<std::string>(value);
        });
    });
}

}  // namespace sipnat::config
