"""Names that a program can't give to a namespace of its own: what C++ and the headers of C have given them to."""

from __future__ import annotations

import re

_KEYWORDS = """
alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case catch
char char16_t char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
constinit continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
friend goto if import inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
private protected public reflexpr register reinterpret_cast requires return short signed sizeof static
static_assert static_cast std struct switch synchronized template this thread_local throw true try typedef typeid
typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""

# Functions, variables and macros that the headers of C and POSIX declare outside of all namespaces, as GCC 12 and glibc
# 2.36 see them, macros that compilers define by themselves, also those for other processors, and types of Arduino and
# Windows. Families of names are in the rules below.
_LIBRARY = """
a64l abort abs acos acosh aligned_alloc alloca arc4random arc4random_buf arc4random_uniform asctime asin asinh asprintf
assert at_quick_exit atan atan2 atanh atexit atof atoi atol basename bcmp bcopy boolean bsearch byte bzero calloc
canonicalize canonicalize_file_name cbrt ceil clearenv clearerr clock clock_adjtime clock_getcpuclockid clock_getres
clock_gettime clock_nanosleep clock_settime complex copysign cos cosh ctermid ctime cuserid daddl daylight ddivl dfmal
difftime div dmull dprintf drand48 drand48_data drem dsqrtl dsubl duplocale dysize ecvt erand48 erf erfc errno exit exp
exp10 exp2 explicit_bzero expm1 fabs fadd far fclose fcloseall fcvt fd_mask fd_set fdim fdiv fdopen feclearexcept
fedisableexcept feenableexcept fegetenv fegetexcept fegetexceptflag fegetmode fegetround feholdexcept feof feraiseexcept
ferror fesetenv fesetexcept fesetexceptflag fesetmode fesetround fetestexcept fetestexceptflag feupdateenv fflush ffma
ffs fgetc fgetpos fgets fileno finite flockfile floor fma fmax fmaximum fmaximum_mag fmaximum_mag_num fmaximum_num
fmaxmag fmemopen fmin fminimum fminimum_mag fminimum_mag_num fminimum_num fminmag fmod fmul fopen fopencookie fpclassify
fprintf fputc fputs fread free freelocale freopen frexp fromfp fromfpx fscanf fseek fseeko fsetpos fsqrt fsub ftell
ftello ftrylockfile funlockfile fwrite gamma gcvt getc getchar getdate getdate_err getdelim getenv getline getloadavg
getpayload getpt getsubopt getw gmtime grantpt hppa huge hyper hypot i386 ilogb imaginary imaxabs imaxdiv index
initstate interface isalnum isalpha isascii isblank iscanonical iscntrl isctype isdigit iseqsig isfinite isgraph
isgreater isgreaterequal isinf isless islessequal islessgreater islower isnan isnormal isprint ispunct issignaling
isspace isunordered isupper isxdigit iszero itimerspec j0 j1 jmp_buf jn jrand48 l64a labs lcong48 lconv ldexp ldiv
lgamma linux llabs lldiv llogb llrint llround localeconv localtime log log10 log1p log2 logb longjmp loop lrand48 lrint
lround main malloc math_errhandling mblen mbstowcs mbtowc memccpy memchr memcmp memcpy memfrob memmem memmove mempcpy
memrchr memset mips mkdtemp mkostemp mkostemps mkstemp mkstemps mktemp mktime modf mrand48 nan nanosleep near nearbyint
newlocale nextafter nextdown nexttoward nextup nios2 nrand48 obstack obstack_printf obstack_vprintf offsetof on_exit
open_memstream pascal pclose perror popen posix_memalign posix_openpt pow printf program_invocation_name
program_invocation_short_name pselect ptsname putc putchar putenv puts putw qecvt qfcvt qgcvt qsort quick_exit raise
rand random random_data rawmemchr realloc reallocarray realpath remainder remove remquo rename renameat renameat2 rewind
rindex rint round roundeven rpmatch scalb scalbln scalbn scanf secure_getenv seed48 select setbuf setbuffer setenv
setjmp setlinebuf setlocale setpayload setpayloadsig setstate setup setvbuf sigabbrev_np sigdescr_np sigevent sigjmp_buf
siglongjmp signal signbit signgam significand sin sincos sinh small snprintf sparc sprintf sqrt srand srand48 srandom
sscanf stderr stdin stdout stpcpy stpncpy strcasecmp strcasestr strcat strchr strchrnul strcmp strcoll strcpy strcspn
strdup strerror strerrordesc_np strerrorname_np strfromd strfromf strfromf128 strfromf32 strfromf32x strfromf64
strfromf64x strfroml strfry strftime strlen strncasecmp strncat strncmp strncpy strndup strnlen strpbrk strptime strrchr
strsep strsignal strspn strstr strtod strtof strtof128 strtof32 strtof32x strtof64 strtof64x strtoimax strtok strtol
strtold strtoq strtoul strtoumax strtouq strverscmp strxfrm sun system tan tanh tempnam tgamma time timegm timelocal
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timespec timespec_get timespec_getres timeval
timex timezone tm tmpfile tmpnam toascii tolower totalorder totalordermag toupper trunc tzname tzset u_char u_int u_long
u_short ufromfp ufromfpx uint ulong ungetc unix unlockpt unsetenv uselocale ushort va_arg va_copy va_end va_list
va_start valloc vasprintf vax vdprintf vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf wcstoimax wcstombs
wcstoumax wctomb word y0 y1 yn
"""

_RULES = (
    (re.compile(r"[A-Z][A-Z0-9_]*"), "names in capitals are those of macros, such as NAN"),
    (re.compile(r"\w+_t"), "names that end in _t are those of types, such as int32_t"),
    (re.compile(r"(?:PRI|SCN)[diouxX]\w+"), "<inttypes.h> has such names"),
    (re.compile(r"M_\w+|[LP]_\w+|f(?:32|64)x?[a-z]+\d*x?"), "<math.h> and <stdio.h> have such names"),
)

# Variants of a function: for other types, for threads, for a locale, for large files.
_VARIANT = re.compile(r"(?:f|l|f16|f32|f64|f128|f32x|f64x|64|_r|_l|_np|_unlocked)$")

_WORDS = frozenset(_KEYWORDS.split())
_NAMES = frozenset(_LIBRARY.split())


def reason_against(name: str) -> str | None:
    """Return why a name may not be that of a namespace, or ``None`` where nothing is known against it."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) is None or "__" in name:
        return "C++ knows no such name, or keeps it for itself"
    if name in _WORDS:
        return "it is a word of C++"
    for rule, reason in _RULES:
        if rule.fullmatch(name):
            return reason
    function = name
    while function not in _NAMES:
        if not (variant := _VARIANT.search(function)):
            return None
        function = function[: variant.start()]
    return f"the headers of C, Arduino or Windows, or compilers, have a {function} already"
