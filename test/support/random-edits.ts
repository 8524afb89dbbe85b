/** Edits at random of a tree, by a program of the guest's own: perl is in every image that has git. */

/**
 * `perl -e RANDOM_EDIT SEED COUNT` changes the tree in the current directory so many times, and prints what it did. It leaves alone what
 * is `.git` or says what git ignores.
 */
export const RANDOM_EDIT = String.raw`
use strict; use warnings;
my ($seed, $count) = @ARGV;
srand $seed;
my @names = ("a", "b.txt", "with blank", "tab\there", "new\nline", "quote\"", "back\\slash", "\xff\xfe", " lead", "trail ", "-dash", "x=y", "\e[31m", "\xc3\xbcber");
sub pick { return $_[int rand @_] }
sub walk {
  my ($at) = @_;
  opendir my $d, $at or die "$at: $!";
  my @found = map { $at eq "." ? $_ : "$at/$_" } sort grep { !/^\.\.?$/ && !/^\.git(ignore)?$/ } readdir $d;
  return map { ($_, -d $_ && !-l $_ ? walk($_) : ()) } @found;
}
sub get { my ($path) = @_; open my $f, "<:raw", $path or die "$path: $!"; local $/; my $all = <$f>; return $all // "" }
sub put { my ($path, $text) = @_; open my $f, ">:raw", $path or die "$path: $!"; print $f $text; close $f or die "$path: $!" }
sub gone { system("rm", "-rf", "--", $_[0]) == 0 or die "rm" }
sub parent { return $_[0] =~ m{^(.*)/}s ? "$1/" : "" }
sub bytes { return join "", map { chr int rand 256 } 1 .. $_[0] }
sub lines { return join "", map { "line " . int(rand 12) . "\n" } 1 .. $_[0] }
my %ways = (
  append => sub { put($_[0], get($_[0]) . lines(3)) },
  "drop a line" => sub { my @l = split /^/m, get($_[0]); splice @l, int rand(@l || 1), 1 if @l; put($_[0], join "", @l) },
  "change lines" => sub { my @l = split /^/m, get($_[0]); for (1 .. 4) { $l[int rand @l] = "changed $_\n" if @l } put($_[0], join "", @l) },
  "move a line" => sub { my @l = split /^/m, get($_[0]); push @l, splice @l, int rand(@l || 1), 1 if @l; put($_[0], join "", @l) },
  "no newline" => sub { my $t = get($_[0]); chomp $t; put($_[0], $t) },
  crlf => sub { my $t = get($_[0]); $t =~ s/\n/\r\n/g; put($_[0], $t) },
  truncate => sub { truncate $_[0], int rand(1 + -s $_[0]) or die "truncate: $!" },
  binary => sub { put($_[0], bytes(int rand 3000)) },
  "bytes in it" => sub { my $t = get($_[0]); substr($t, int rand(1 + length $t), 0) = bytes(20); put($_[0], $t) },
  mode => sub { chmod((stat $_[0])[2] & 0100 ? 0644 : 0755, $_[0]) or die "chmod: $!" },
  touch => sub { utime 1, 1, $_[0] or die "utime: $!" },
  remove => sub { gone($_[0]) },
  rename => sub { my $to = parent($_[0]) . pick(@names); if ($to ne $_[0]) { gone($to); rename $_[0], $to or die "rename: $!" } },
  "rename and edit" => sub { my ($to, $text) = ("$_[0].moved", get($_[0])); gone($to); rename $_[0], $to or die "rename: $!"; put($to, "first\n$text") },
  copy => sub { my $to = parent($_[0]) . pick(@names); if ($to ne $_[0]) { gone($to); put($to, get($_[0])) } },
  link => sub { my $to = parent($_[0]) . pick(@names); gone($to); symlink pick("../x", "/etc/passwd", "new\nline"), $to or die "symlink: $!" },
  "now a link" => sub { gone($_[0]); symlink "elsewhere", $_[0] or die "symlink: $!" },
  "now a directory" => sub { gone($_[0]); mkdir $_[0] or die "mkdir: $!"; put("$_[0]/" . pick(@names), lines(5)) },
);
my %others = (
  "new file" => sub { my $to = "$_[0]/" . pick(@names); gone($to); put($to, lines(int rand 60)) },
  "new directory" => sub { my $to = "$_[0]/" . pick(@names); gone($to); mkdir $to or die "mkdir: $!"; put("$to/" . pick(@names), bytes(50)) },
  "empty directory" => sub { my $to = "$_[0]/empty"; -l $to || -e $to or mkdir $to or die "mkdir: $!" },
  "remove directory" => sub { gone($_[0]) },
  "rename directory" => sub { my $to = "$_[0].moved"; gone($to); rename $_[0], $to or die "rename: $!" },
  "now a file" => sub { gone($_[0]); put($_[0], lines(4)) },
  commit => sub { system("git add --all && git -c user.name=a -c user.email=a\@b commit --quiet --allow-empty -m edits") == 0 or die "commit" },
);
for (1 .. $count) {
  my @all = walk(".");
  my @files = grep { -f $_ && !-l $_ } @all;
  # Not those at the top, or soon nothing would be left.
  my @directories = grep { m{/.*/}s && -d $_ && !-l $_ } @all;
  my $on_file = @files && (!@directories || rand() < 0.8);
  last if !$on_file && !@directories;
  my ($ways, $path) = $on_file ? (\%ways, pick(@files)) : (\%others, pick(@directories));
  my $way = pick(sort keys %$ways);
  $ways->{$way}->($path);
  print "$way\n";
}
`;
