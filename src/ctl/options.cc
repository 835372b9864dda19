#include "ctl/options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdlib>
#include <iostream>

namespace sipnat::ctl {

namespace {

constexpr const char* kDefaultSocket = "/run/sipnat/control.sock";

CLI::Validator endpoint_validator() {
    return {[](std::string& text) {
                return Endpoint::parse(text) ? std::string{}
                                             : "\"" + text + "\" is not IP:PORT or [IPv6]:PORT";
            },
            "IP:PORT"};
}

CLI::Validator range_validator() {
    return {[](std::string& text) {
                return parse_media_ports(text)
                           ? std::string{}
                           : "\"" + text + "\" is not LOW-HIGH with ports from 1024 to 65535";
            },
            "LOW-HIGH"};
}

CLI::Validator nat_validator() {
    return {[](std::string& text) {
                return NatRule::parse(text) ? std::string{}
                                            : "\"" + text + "\" is not NET/BITS=IP of one family";
            },
            "INSIDE_NET=OUTSIDE_IP"};
}

constexpr const char* kReplayHelp =
    R"(IN.pcap is taken inside: between the phones and the gateway, or on the gateway's inside interface.
Packets carry the phones' own addresses in both directions: a packet from a host of INSIDE_NET to one
outside of all of them leaves from OUTSIDE_IP (with its own port where that is free), and one to a host of
INSIDE_NET came in through the same flow. Packets without such a host get no NAT. Message text is taken as
it was captured: what phones sent as they wrote it; what came in is what the other side wrote, so if its
network saw untranslated messages, it quotes inside addresses, which stay.
Each message goes through the engine in the capture's time, and all media is granted. SIP is looked for in
UDP; fragments are put together.
OUT.pcap is what a capture outside would show: endpoints after NAT, outgoing messages rewritten, incoming
ones as they came. What replay can't read (other protocols, packets cut off) is in it as it was.
Exit: 0, or 1 when IN.pcap can't be read to its end (what was read is done), or 2.)";

struct ReplayTexts {
    std::vector<std::string> nat;
    std::vector<std::uint16_t> ports{5060};
    bool json = false;
};

CLI::App* add_replay(CLI::App& app, ReplayTexts& texts, ReplayOptions& options) {
    auto* replay = app.add_subcommand(
        "replay", "The daemon's decisions about a capture; no daemon and no root needed");
    replay
        ->add_option("--nat", texts.nat,
                     "source NAT: a network inside, and the address that outside sees; repeatable")
        ->required()
        ->check(nat_validator())
        ->expected(1)
        ->allow_extra_args(false)  // else it takes the file's name, too
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    replay->add_option("--sip-port", texts.ports, "UDP ports of SIP, on either side; repeatable")
        ->capture_default_str()
        ->check(CLI::Range(1, 65535))
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    replay->add_option("--out", options.out, "writes what a capture outside would show");
    replay->add_flag("--json", texts.json, "one JSON object a line instead, without a summary");
    replay->add_option("IN.pcap", options.file, "pcap or pcapng; - reads standard input")
        ->required();
    replay->footer(kReplayHelp);
    return replay;
}

void complete(const ReplayTexts& texts, ReplayOptions& options) {
    for (const auto& text : texts.nat)
        options.nat.push_back(*NatRule::parse(text));
    for (const auto port : texts.ports)
        options.sip_ports.push_back(static_cast<Port>(port));
    options.output = texts.json ? Output::json : Output::plain;
}

struct RewriteTexts {
    std::string proto = "udp", src, dst, snat, dnat, range = "10000-32767";
    bool explain = false, json = false;
};

CLI::App* add_rewrite(CLI::App& app, RewriteTexts& texts, RewriteOptions& options) {
    auto* rewrite = app.add_subcommand(
        "rewrite", "One message in, the rewritten message out; no daemon and no root needed");
    rewrite->add_option("--proto", texts.proto, "udp or tcp")->check(CLI::IsMember({"udp", "tcp"}));
    rewrite->add_option("--src", texts.src, "the packet's source before NAT")
        ->required()
        ->check(endpoint_validator());
    rewrite->add_option("--dst", texts.dst, "its destination before NAT")
        ->required()
        ->check(endpoint_validator());
    rewrite->add_option("--snat", texts.snat, "its source after NAT")->check(endpoint_validator());
    rewrite->add_option("--dnat", texts.dnat, "its destination after NAT")
        ->check(endpoint_validator());
    rewrite->add_option("--media-ports", texts.range, "outside ports for media")
        ->check(range_validator());
    auto* explain = rewrite->add_flag("--explain", texts.explain,
                                      "tell each edit and its reason on standard error");
    rewrite->add_flag("--json", texts.json, "print verdict, edits and expectations instead")
        ->excludes(explain);
    rewrite->add_option("--after", options.after,
                        "earlier messages of the same flow, fed to the engine first");
    rewrite->add_option("FILE", options.file, "the message; - reads standard input")->required();
    return rewrite;
}

void complete(const RewriteTexts& texts, RewriteOptions& options) {
    const auto endpoint = [](const std::string& text, const Endpoint& otherwise) {
        return text.empty() ? otherwise : *Endpoint::parse(text);
    };
    options.transport = texts.proto == "tcp" ? Transport::tcp : Transport::udp;
    options.source = endpoint(texts.src, {});
    options.destination = endpoint(texts.dst, {});
    options.translated_source = endpoint(texts.snat, options.source);
    options.translated_destination = endpoint(texts.dnat, options.destination);
    options.media_ports = *parse_media_ports(texts.range);
    options.output = texts.json ? Output::json : (texts.explain ? Output::explain : Output::plain);
}

struct QuestionText {
    const char* name;
    const char* help;
};

// In the order of Question.
constexpr std::array kQuestions{
    QuestionText{"status", "What the daemon does, and in which mode"},
    QuestionText{"calls", "Running calls, and the packets of their media"},
    QuestionText{"registrations", "Who is registered where, and for how long"},
    QuestionText{"media", "Which outside ports stand for which inside endpoints"},
    QuestionText{"stats", "All counters"},
    QuestionText{"reload", "Reads the settings again"},
};

CLI::App* add_question(CLI::App& app, const QuestionText& text, AskOptions& ask, bool& json) {
    auto* command = app.add_subcommand(text.name, text.help);
    command->add_flag("--json", json, "for programs");
    command->add_option("--socket", ask.socket, "the daemon's control socket");
    return command;
}

}  // namespace

const char* to_text(Question question) {
    return kQuestions.at(static_cast<std::size_t>(question)).name;
}

Options parse_options(int argc, const char* const* argv) {
    CLI::App app{"Looks into sipnatd, and rewrites messages as it would", "sipnatctl"};
    app.require_subcommand(0, 1);  // with 1 and more, an unknown command is reported as none
    app.set_version_flag("--version", SIPNAT_VERSION);

    RewriteTexts texts;
    RewriteOptions rewrite;
    const auto* rewrite_command = add_rewrite(app, texts, rewrite);

    ReplayTexts replay_texts;
    ReplayOptions replay;
    const auto* replay_command = add_replay(app, replay_texts, replay);

    AskOptions ask;
    bool ask_json = false;
    const char* socket = std::getenv("SIPNAT_SOCKET");
    ask.socket = socket == nullptr ? kDefaultSocket : socket;
    std::vector<const CLI::App*> questions;
    for (const auto& text : kQuestions)
        questions.push_back(add_question(app, text, ask, ask_json));

    std::vector<CLI::App*> missing;
    for (const char* name : {"trace", "explain"}) {
        auto* command = app.add_subcommand(name, "not in this version");
        command->allow_extras();
        command->group("");  // not shown in the help
        missing.push_back(command);
    }

    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // help, version
        app.exit(asked, std::cout, std::cerr);
        return Exit::good;
    } catch (const CLI::ParseError& fault) {
        app.exit(fault, std::cout, std::cerr);
        return Exit::usage;
    }
    if (rewrite_command->parsed()) {
        complete(texts, rewrite);
        const auto family = rewrite.source.address.family();
        for (const auto& endpoint :
             {rewrite.destination, rewrite.translated_source, rewrite.translated_destination}) {
            if (endpoint.address.family() == family) continue;
            std::cerr << "--src, --dst, --snat and --dnat are not of one address family\n";
            return Exit::usage;
        }
        return rewrite;
    }
    if (replay_command->parsed()) {
        complete(replay_texts, replay);
        return replay;
    }
    for (std::size_t i = 0; i < questions.size(); ++i) {
        if (!questions.at(i)->parsed()) continue;
        ask.question = static_cast<Question>(i);
        ask.output = ask_json ? Output::json : Output::plain;
        return ask;
    }
    for (const auto* command : missing) {
        if (command->parsed()) return MissingCommand{command->get_name()};
    }
    std::cerr << app.help();
    return Exit::usage;
}

}  // namespace sipnat::ctl
