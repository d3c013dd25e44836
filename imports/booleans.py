"""The words for true and false: what people type, and what spreadsheets write in the common languages."""

_TRUE = """
1 x y yes t true on
ja j wahr oui o vrai sí si sì s verdadero verdad vero sim verdadeiro waar tak prawda да истина evet doğru ano pravda
是 真 はい 예
"""
_FALSE = """
0 n no f false off
nein falsch non faux falso não nao nee onwaar nie fałsz нет ложь hayır hayir yanlış yanliş ne nepravda nej nei
否 假 いいえ 아니요
"""

# By the word in lower case.
BOOLEANS = dict.fromkeys(_TRUE.split(), True) | dict.fromkeys(_FALSE.split(), False)
